//! A host with a Zeek and processes, below a directory.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::io::migrate::{System, Wanted, look};
use crate::io::store::FILE_NAME;
use crate::migrate::Findings;

/// A directory that goes with the test.
pub(super) struct Host(PathBuf);

/// A file as it was found: its name, what is in it, and when it was written.
type Trace = (PathBuf, Option<Vec<u8>>, i64, i64);

impl Host {
    pub(super) fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zeek-mgmt-migrate-{}-{count}", std::process::id());
        let host = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(host.path("proc")).unwrap();
        host.write(
            "etc/passwd",
            b"root:x:0:0::/:/bin/sh\nzeek:x:812:812::/:/bin/sh\n",
        );
        host
    }

    /// `zeek -j` with controller, agent and a node, as Zeek 8.0.10 left its state.
    pub(super) fn stock() -> Self {
        let host = Self::empty();
        let zeek = "opt/zeek";
        host.write(&format!("{zeek}/bin/zeek"), b"");
        host.write(
            &format!("{zeek}/bin/zeek-config"),
            b"#!/bin/sh\n\nversion=\"8.0.10\"\n",
        );
        let scripts = format!("{zeek}/share/zeek");
        host.write(&format!("{scripts}/base/init-bare.zeek"), b"");
        for part in ["controller", "agent", "node"] {
            let file = format!("{scripts}/policy/frameworks/management/{part}/__load__.zeek");
            host.write(&file, b"");
        }
        host.write(
            &format!("{scripts}/site/local.zeek"),
            b"redef LogAscii::use_json = T;\n",
        );
        host.write(
            "srv/ports.zeek",
            b"redef Management::Agent::listen_port = 3151/tcp;\n",
        );
        let nodes = format!("{zeek}/var/lib/nodes");
        host.write(&format!("{nodes}/controller/{FILE_NAME}"), &recorded());
        for name in ["instance-1", "worker-01"] {
            host.write(&format!("{nodes}/{name}/stdout"), b"a line\n");
        }
        let program = host.path("opt/zeek/bin/zeek").display().to_string();
        let words = [
            program.as_str(),
            "-j",
            "policy/frameworks/management/controller",
            "policy/frameworks/management/agent",
            "ports.zeek",
            "local",
        ];
        let env = [
            "ZEEK_CONTROLLER_NAME=controller",
            "ZEEK_AGENT_NAME=instance-1",
        ];
        let process = |pid, parent, name| process(&host, pid, parent, name, &words, &env);
        process(812, 1, "zeek");
        process(813, 812, "zeek.stem");
        process(820, 813, "zeek.controller");
        process(821, 813, "zeek.instance-1");
        process(830, 813, "zeek.worker-01");
        for (pid, name) in [(820, "controller"), (821, "instance-1"), (830, "worker-01")] {
            let cwd = host.path(&format!("proc/{pid}/cwd"));
            fs::remove_file(&cwd).unwrap();
            symlink(host.path(&format!("{nodes}/{name}")), cwd).unwrap();
        }
        host
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    pub(super) fn write(&self, below: &str, bytes: &[u8]) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn look(&self, wanted: &Wanted) -> Findings {
        let system = System {
            proc: self.path("proc"),
            passwd: self.path("etc/passwd"),
            root: self.0.clone(),
        };
        look(&system, wanted, "/usr/bin/zeek-mgmt")
    }

    /// Every file and directory there.
    pub(super) fn everything(&self) -> Vec<Trace> {
        let mut found = Vec::new();
        let mut open = vec![self.0.clone()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let bytes = meta.is_file().then(|| fs::read(&path).unwrap());
                if meta.is_dir() {
                    open.push(path.clone());
                }
                found.push((path, bytes, meta.mtime(), meta.mtime_nsec()));
            }
        }
        found.sort();
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Adds a process, as proc_pid_stat(5) and its neighbours describe its files.
pub(super) fn process(
    host: &Host,
    pid: u32,
    parent: u32,
    name: &str,
    words: &[&str],
    env: &[&str],
) {
    let file = |name: &str| format!("proc/{pid}/{name}");
    let stat = format!("{pid} ({name}) S {parent} {pid} {pid} 0 -1 4194560 100 0 0 0");
    host.write(&file("stat"), stat.as_bytes());
    let ended = |words: &[&str]| {
        words
            .iter()
            .flat_map(|w| [w.as_bytes(), b"\0"].concat())
            .collect::<Vec<u8>>()
    };
    host.write(&file("cmdline"), &ended(words));
    host.write(&file("environ"), &ended(env));
    host.write(&file("cgroup"), b"0::/system.slice/zeek.service\n");
    let status = format!("Name:\t{name}\nUid:\t812\t812\t812\t812\n");
    host.write(&file("status"), status.as_bytes());
    symlink(host.path("srv"), host.path(&file("cwd"))).unwrap();
    symlink(words[0], host.path(&file("exe"))).unwrap();
}

/// The state that Zeek 8.0.10 left.
fn recorded() -> Vec<u8> {
    let state = "../tests/transcripts/c2a/state";
    fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(state)
            .join(FILE_NAME),
    )
    .unwrap()
}
