//! The descriptors a stem inherits (API §10.1) and its own output streams.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::process::Sink;

/// The value of `ZEEK_STEM`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Inherited {
    /// The supervisor's process.
    pub(super) parent: i32,
    /// Up read, up write, down read, down write.
    pub(super) fds: [i32; 4],
}

impl Inherited {
    /// Exactly five decimal numbers.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let numbers = value.split(',').map(|part| part.parse().ok());
        let numbers = numbers.collect::<Option<Vec<i32>>>()?;
        let [parent, fds @ ..] = <[i32; 5]>::try_from(numbers).ok()?;
        Some(Self { parent, fds })
    }

    /// Reopens the two ends a stem uses. The inherited descriptors themselves stay open, so the
    /// stem never sees the end of its own command pipe, as in stock (API §9.3 S5).
    ///
    /// # Errors
    /// If one of the four is not open or not a pipe.
    pub(super) fn open(&self) -> std::io::Result<(pipe::Receiver, pipe::Sender)> {
        let [up_read, up_write, down_read, down_write] = self.fds;
        for fd in [up_read, up_write, down_read, down_write] {
            std::fs::symlink_metadata(path(fd)).map_err(|_| Errno::BADF)?;
        }
        let commands = pipe::OpenOptions::new().open_receiver(path(down_read))?;
        let status = pipe::OpenOptions::new().open_sender(path(up_write))?;
        Ok((commands, status))
    }
}

fn path(fd: i32) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{fd}"))
}

/// The stem's standard output.
///
/// # Errors
/// If it is closed.
pub(super) fn stdout() -> std::io::Result<Sink> {
    own_stream(std::io::stdout().as_fd())
}

/// The stem's standard error.
///
/// # Errors
/// If it is closed.
pub(super) fn stderr() -> std::io::Result<Sink> {
    own_stream(std::io::stderr().as_fd())
}

/// A pipe is reopened, because the inherited one may be non-blocking, which a plain write does not
/// survive.
fn own_stream(fd: BorrowedFd<'_>) -> std::io::Result<Sink> {
    let stream: Box<dyn AsyncWrite + Send + Unpin> =
        match pipe::OpenOptions::new().open_sender(path(fd.as_raw_fd())) {
            Ok(pipe) => Box::new(pipe),
            Err(_) => {
                let file = std::fs::File::from(fd.try_clone_to_owned()?);
                Box::new(tokio::fs::File::from_std(file))
            }
        };
    Ok(Arc::new(Mutex::new(stream)))
}

/// Writes reports to the supervisor in order, without ever holding the stem up.
pub(super) struct Uplink {
    queue: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
}

impl Uplink {
    pub(super) fn new(mut pipe: pipe::Sender) -> Self {
        let (queue, mut reports) = mpsc::unbounded_channel::<String>();
        let task = tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let mut message = report.into_bytes();
                message.push(0);
                if pipe.write_all(&message).await.is_err() {
                    return;
                }
            }
        });
        Self { queue, task }
    }

    /// Queues one report. A supervisor that is gone is noticed by its process id, not here.
    pub(super) fn send(&self, report: &super::messages::Report) {
        let _ = self.queue.send(report.to_string());
    }

    /// Waits until everything is written, at most a second.
    pub(super) async fn finish(self) {
        drop(self.queue);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), self.task).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_numbers_make_a_stem() {
        let want = Inherited {
            parent: 21,
            fds: [3, 4, 5, 6],
        };
        assert_eq!(Inherited::parse("21,3,4,5,6"), Some(want));
        for wrong in [
            "",
            "21",
            "21,3,4,5",
            "21,3,4,5,6,7",
            "21,3,4,5,x",
            "21, 3,4,5,6",
        ] {
            assert_eq!(Inherited::parse(wrong), None, "{wrong}");
        }
    }
}
