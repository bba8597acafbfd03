//! Programs with a time limit.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How a program ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finished {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs a program to its end, without input.
///
/// # Errors
/// If it cannot be started, or has not ended after `limit`; it is killed then.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Finished> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let Some(status) = wait(&mut child, limit)? else {
        child.kill()?;
        child.wait()?;
        let text = format!("{command:?} did not end within {limit:?}");
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    };
    Ok(Finished {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Waits for a child; `None` if it still runs after `limit`.
///
/// # Errors
/// If the child cannot be asked.
pub fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    crate::wait_until(limit, || child.try_wait().transpose()).transpose()
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until an error is what there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(pipe: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&pipe.join().unwrap_or_default()).into_owned()
}
