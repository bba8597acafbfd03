//! Real control groups where the system lets us make some, and a plain directory elsewhere.

use super::*;

use crate::host::{Control, Ending, Group, HostInput, Launch, Target};
use crate::io::Host;
use crate::settings::Outputs;

const CHILD: ChildId = ChildId {
    unit: 1,
    generation: 1,
};

#[test]
fn our_own_group_is_below_the_mount() {
    let mount = std::env::temp_dir().join(format!("supervisor-cgroup-{}", std::process::id()));
    fs::create_dir_all(&mount).unwrap();
    let found = "4:memory:/x\n0::/system.slice/zeek.service\n";
    assert_eq!(own_group(&mount, found), None, "nothing is mounted there");
    fs::write(mount.join("cgroup.controllers"), "").unwrap();
    let own = mount.join("system.slice/zeek.service");
    assert_eq!(own_group(&mount, found), Some(own));
    assert_eq!(own_group(&mount, "4:memory:/x\n"), None);
    fs::remove_dir_all(&mount).unwrap();
}

#[test]
fn what_nobody_delegated_is_left_alone() {
    assert!(Cgroups::at(None).add(CHILD, 1).is_none());
    let nowhere = Cgroups::at(Some("/nonexistent".into())).add(CHILD, 1);
    assert!(nowhere.is_none());
    assert!(!is_delegated(Path::new("/proc")));
}

#[tokio::test]
async fn a_process_in_a_session_of_its_own_dies_with_its_child() {
    let Some(root) = root() else {
        println!("did not run: no control groups of version 2, or not for us");
        return;
    };
    // It must start nothing before it is in its group; a stem starts nothing before it is told to.
    let script = "until grep -q zeek-mgmt-.*/zeek-mgmt /proc/self/cgroup; do :; done
                  setsid sleep 1000 & exit 3";
    let mut host = Host::with_cgroups(Cgroups::at(Some(root.clone())), Outputs::default());
    let launch = Launch {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: Vec::new(),
        node: None,
        directory: None,
        control: Control::Absent,
    };
    let child = CHILD;
    host.apply(crate::host::HostOutput::Spawn { child, launch });
    let HostInput::Spawned { pid, .. } = host.next().await else {
        panic!("not started");
    };
    let (ending, group) = loop {
        if let HostInput::Exited { ending, group, .. } = host.next().await {
            break (ending, group);
        }
    };
    assert_eq!((ending, group), (Ending::Status(3), Group::Alive));
    let groups = || {
        fs::read_dir(&root)
            .unwrap()
            .flatten()
            .filter(|e| e.path().is_dir())
            .count()
    };
    assert_eq!(groups(), 1);
    host.apply(crate::host::HostOutput::Signal {
        child,
        pid,
        target: Target::Group,
        signal: crate::host::Signal::Kill,
    });
    while groups() > 0 {
        // The system needs a moment, and removes it at the next occasion.
        host.tidy_up();
        tokio::task::yield_now().await;
    }
    fs::remove_dir(&root).unwrap();
}

/// A group that we may divide.
fn root() -> Option<PathBuf> {
    let mounts = MOUNTS.iter().map(Path::new);
    let mut mounts = mounts.filter(|mount| mount.join("cgroup.controllers").exists());
    let name = format!("zeek-mgmt-test-{}", std::process::id());
    let root = mounts.next()?.join(name);
    fs::create_dir(&root).ok()?;
    Some(root)
}
