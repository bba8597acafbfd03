//! Two hosts with a cable between them, or what comes nearest.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::binaries;
use harness::client::ZeekClient;
use harness::command::{self, Finished};
use harness::namespace::{Namespace, Own};
use harness::processes::{self, MARKER};
use rustix::process::{Pid, Signal, kill_process};

/// One command, zeek-client's waiting included.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// From SIGTERM to the end.
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// One of the page's two hosts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    Controller,
    Sensor,
}

impl Host {
    /// As on the page.
    fn address(self) -> &'static str {
        match self {
            Self::Controller => "10.0.0.1",
            Self::Sensor => "10.0.0.2",
        }
    }

    /// Without a cable.
    fn loopback(self) -> &'static str {
        match self {
            Self::Controller => "127.0.0.11",
            Self::Sensor => "127.0.0.12",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Sensor => "sensor",
        }
    }
}

const HOSTS: [Host; 2] = [Host::Controller, Host::Sensor];

/// Two network namespaces of a user namespace, connected.
pub(crate) struct Cable {
    controller: Namespace,
    sensor: Namespace,
}

impl Cable {
    /// # Errors
    /// If the system has no such namespaces for unprivileged users, or lacks the tools.
    pub(crate) fn lay() -> io::Result<Self> {
        let controller = Namespace::new(Own::Network)?;
        let sensor = controller.sibling()?;
        let cable = Self { controller, sensor };
        let sensor = cable.sensor.pid();
        let link = format!("ip link add cable type veth peer name cable netns {sensor}");
        cable.of(Host::Controller).run(&link)?;
        for host in HOSTS {
            let address = host.address();
            cable.of(host).run(&format!(
                "ip link set lo up && ip address add {address}/24 dev cable && \
                 ip link set cable up"
            ))?;
        }
        Ok(cable)
    }

    fn of(&self, host: Host) -> &Namespace {
        match host {
            Host::Controller => &self.controller,
            Host::Sensor => &self.sensor,
        }
    }
}

/// The hosts with their home directories, and what runs on them.
pub(crate) struct Hosts {
    folder: PathBuf,
    cable: Option<Cable>,
    mark: String,
    running: Vec<Child>,
}

impl Hosts {
    pub(crate) fn new(cable: Option<Cable>) -> io::Result<Self> {
        let mark = format!("two-hosts-{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("zeek-mgmt-{mark}"));
        let hosts = Self {
            folder,
            cable,
            mark,
            running: Vec::new(),
        };
        for host in HOSTS {
            fs::create_dir_all(hosts.home(host))?;
        }
        let programs = binaries::built()?;
        let bin = hosts.folder.join("bin");
        fs::create_dir_all(&bin)?;
        symlink(&programs.mgmt, bin.join("zeek-mgmt"))?;
        symlink(&programs.standin, bin.join("zeek"))?;
        symlink(ZeekClient::installed()?.program(), bin.join("zeek-client"))?;
        let scp = bin.join("scp");
        let sensor = hosts.home(Host::Sensor);
        let copy = format!(
            "#!/bin/sh\nexec cp -r \"$2\" '{}'/\"${{3#*:}}\"\n",
            sensor.display()
        );
        fs::write(&scp, copy)?;
        fs::set_permissions(&scp, fs::Permissions::from_mode(0o755))?;
        Ok(hosts)
    }

    pub(crate) fn address(&self, host: Host) -> &'static str {
        match self.cable {
            Some(_) => host.address(),
            None => host.loopback(),
        }
    }

    /// Types this, and waits until it is done.
    pub(crate) fn run(&self, host: Host, script: &str) -> Finished {
        command::run(&mut self.shell(host, script), COMMAND_LIMIT).unwrap()
    }

    pub(crate) fn succeeds(&self, host: Host, script: &str) -> Finished {
        let done = self.run(host, script);
        assert_eq!(done.code, Some(0), "{script}{done:?}\n{}", self.logs());
        done
    }

    /// Types this, and leaves it running in its terminal.
    pub(crate) fn start(&mut self, host: Host, script: &str) -> io::Result<()> {
        // So that a signal reaches the program and not its shell.
        let script = format!("\n{script}").replace("\nzeek-mgmt ", "\nexec zeek-mgmt ");
        let mut command = self.shell(host, &script);
        let log = File::create(self.log(host))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        self.running.push(command.stderr(log).spawn()?);
        Ok(())
    }

    /// Stops what runs, and expects that nothing is left.
    ///
    /// # Errors
    /// If a program does not end well.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        let logs = self.logs();
        for mut child in self.running.drain(..).rev() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.unwrap(), Signal::TERM)?;
            let status = command::wait(&mut child, STOP_LIMIT)?;
            let text = format!("{status:?}\n{logs}");
            assert!(status.is_some_and(|status| status.success()), "{text}");
        }
        let gone = || processes::marked(&self.mark).is_empty().then_some(());
        let gone = harness::wait_until(STOP_LIMIT, gone);
        let left = processes::marked(&self.mark);
        assert!(gone.is_some(), "processes left behind: {left:?}");
        Ok(())
    }

    /// What the programs that run have said.
    pub(crate) fn logs(&self) -> String {
        let log = |host| fs::read_to_string(self.log(host)).unwrap_or_default();
        let text = |host: Host| format!("{}:\n{}", host.name(), log(host));
        HOSTS.map(text).join("\n")
    }

    fn shell(&self, host: Host, script: &str) -> Command {
        let mut script = script.to_owned();
        for host in HOSTS {
            script = script.replace(host.address(), self.address(host));
        }
        let mut command = match &self.cable {
            Some(cable) => cable.of(host).program("sh"),
            None => Command::new("sh"),
        };
        command.args(["-e", "-c", &script]);
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.folder.join("bin");
        command.env_clear();
        command.env("PATH", format!("{}:{path}", bin.display()));
        command.env("LANG", "C.UTF-8").env(MARKER, &self.mark);
        let home = self.home(host);
        command.env("HOME", &home).current_dir(home);
        command
    }

    fn home(&self, host: Host) -> PathBuf {
        self.folder.join(host.name())
    }

    fn log(&self, host: Host) -> PathBuf {
        Path::new(&self.folder).join(format!("{}.log", host.name()))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for process in processes::marked(&self.mark) {
            if let Some(pid) = Pid::from_raw(process.pid) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for child in &mut self.running {
            let _ = child.wait();
        }
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
