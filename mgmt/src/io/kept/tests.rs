use std::os::unix::fs::symlink;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, mknodat};

use super::*;
use crate::model::{ClusterRole, Instance, Node};

#[tokio::test]
async fn what_an_agent_keeps_the_next_one_reads() {
    let folder = Folder::new("read");
    let mut kept = Kept::new(&folder.0.join("made"), "instance-1");
    assert_eq!(kept.read(), None);
    kept.write(Some(config("a")));
    kept.write(None);
    kept.write(Some(config("b")));
    kept.finish().await;
    let next = Kept::new(&folder.0.join("made"), "instance-1");
    assert_eq!(next.read(), Some(config("b")));
    let files = fs::read_dir(folder.0.join("made")).unwrap().count();
    assert_eq!(files, 1, "nothing else is left there");
}

#[tokio::test]
async fn what_is_to_be_forgotten_is_gone() {
    let folder = Folder::new("forget");
    let mut kept = Kept::new(&folder.0, "instance-1");
    kept.write(Some(config("a")));
    kept.write(None);
    kept.finish().await;
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);

    let mut kept = Kept::new(&folder.0, "instance-1");
    kept.write(Some(config("a")));
    kept.finish().await;
    Kept::new(&folder.0, "instance-1").forget();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_used_is_set_aside_and_not_overwritten() {
    let folder = Folder::new("damaged");
    let path = folder.0.join(FILE_NAME);
    let other = text(config("a"), "instance-2");
    let whole = text(config("a"), "instance-1");
    let cut = &whole[..whole.len() - 3];
    let kept = Kept::new(&folder.0, "instance-1");
    let unusable = [
        "",
        "{}",
        "[]",
        cut,
        &other,
        &whole.replace("agent 1", "agent 2"),
    ];
    for (n, text) in (1..).zip(unusable) {
        fs::write(&path, text).unwrap();
        assert_eq!(kept.read(), None, "{text}");
        let aside = folder.0.join(format!("{FILE_NAME}.damaged-{n}"));
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
        assert!(!path.exists());
    }
    fs::create_dir(&path).unwrap();
    assert_eq!(kept.read(), None);
    assert!(path.is_dir());
}

#[test]
fn what_is_no_file_does_not_hold_up_the_start() {
    let folder = Folder::new("pipe");
    let path = folder.0.join(FILE_NAME);
    let make: [fn(&Path); 2] = [
        |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        |path| symlink("/dev/zero", path).unwrap(),
    ];
    for make in make {
        make(&path);
        let kept = Kept::new(&folder.0, "instance-1");
        let (done, end) = mpsc::channel();
        thread::spawn(move || done.send(kept.read()));
        assert_eq!(end.recv_timeout(Duration::from_secs(60)), Ok(None));
        fs::remove_file(&path).unwrap();
    }
}

fn config(id: &str) -> Configuration {
    let mut node = Node::new("instance-1", "worker", ClusterRole::Worker);
    node.env.insert("NAME".into(), "\"quoted\" \\ ü".into());
    node.scripts = Some(vec!["local".into()]);
    node.interface = Some("lo".into());
    let instance = Instance {
        name: "instance-1".into(),
        host: broker_proto::Address::UNSPECIFIED,
        listen_port: None,
    };
    Configuration {
        id: id.into(),
        instances: [instance].into(),
        nodes: [node].into(),
    }
}

/// A directory that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("zeek-mgmt-kept-{name}-{id}"));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
