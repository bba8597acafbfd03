use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// As long as it takes; the machine may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_run_tells_its_end_and_the_last_of_what_it_printed() {
    let folder = Folder::new("end");
    let ended = folder.run("echo one; echo two >&2; exit 3").await;
    assert_eq!(ended, end(Ending::Code(3), "one\ntwo"));
    let ended = folder.run("kill -9 $$").await;
    assert_eq!(ended, end(Ending::Signal(9), ""));
    let long = "i=0; while test $i -lt 1000; do echo 0123456789; i=$((i + 1)); done; echo end";
    let Input::Ended { ending, output } = folder.run(long).await else {
        panic!("it ended");
    };
    assert_eq!(ending, Ending::Code(0));
    assert!(output.ends_with("0123456789\nend"), "{output}");
    assert!(output.len() <= KEPT_OUTPUT, "{} bytes", output.len());
}

#[tokio::test]
async fn what_a_run_leaves_behind_does_not_hold_up_its_end() {
    let folder = Folder::new("behind");
    let ended = folder.run("sleep 1000 & echo $!").await;
    let Input::Ended { ending, output } = ended else {
        panic!("it ended: {ended:?}");
    };
    assert_eq!(ending, Ending::Code(0));
    let pid = Pid::from_raw(output.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_second_run_does_not_begin_while_anybody_of_the_first_is_there() {
    let folder = Folder::new("lock");
    let first = Run::start("read -r line; sleep 1000", &folder.0, Group::Own).unwrap();
    let second = Run::start("true", &folder.0, Group::Own);
    let reason = second.expect_err("the first one has the lock");
    assert_eq!(
        reason,
        "another one still runs, started by an earlier agent"
    );
    drop(first);
    // The killed processes may take a moment to be gone.
    let begun = async {
        while Run::start("true", &folder.0, Group::Own).is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, begun).await.expect("the lock is free");
}

#[tokio::test]
async fn without_a_queue_nothing_runs() {
    let folder = Folder::new("queue");
    let mut archiver = Archiver::new(None, &folder.0);
    let input = archiver.start("true", &folder.0.join("missing"));
    assert_eq!(input, Input::NoQueue);
    assert!(archiver.run.is_none());
    assert_eq!(archiver.start("true", &folder.0), Input::Started);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let folder = Folder::new("unusable");
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    let reason = Run::start("true", &file.join("below"), Group::Own).unwrap_err();
    assert!(reason.contains(&file.display().to_string()), "{reason}");
}

fn end(ending: Ending, output: &str) -> Input {
    let output = output.to_owned();
    Input::Ended { ending, output }
}

/// A directory that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("zeek-mgmt-archiver-{name}-{id}"));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// In a directory of its own: a process that another test just starts may hold our lock for a
    /// moment.
    async fn run(&self, command: &str) -> Input {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = self.0.join(count.to_string());
        let mut run = Some(Run::start(command, &dir, Group::Own).unwrap());
        let input = timeout(PATIENCE, ended(&mut run)).await;
        input.expect("it ends")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
