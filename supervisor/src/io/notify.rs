//! What systemd is told, if it started us: that we are ready, that we stop, and that we live
//! (`sd_notify(3)`, `sd_watchdog_enabled(3)`).

#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

/// Where to tell, and what of it is meant for us. Not for our children.
pub(super) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The way to systemd; without one, nothing is told.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
}

/// Who says nothing for too long is started again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Watchdog {
    every: Duration,
    due: Instant,
}

impl Notifier {
    /// From the environment.
    pub(super) fn from_env(now: Instant) -> Self {
        let [socket, usec, pid] = VARIABLES.map(env::var_os);
        let text = |value: Option<std::ffi::OsString>| value.and_then(|v| v.into_string().ok());
        let is_ours = text(pid).is_none_or(|pid| pid == std::process::id().to_string());
        let usec = text(usec).filter(|_| is_ours);
        let socket = socket.filter(|socket| !socket.is_empty());
        Self::new(now, socket.as_deref(), usec.as_deref())
    }

    fn new(now: Instant, socket: Option<&OsStr>, usec: Option<&str>) -> Self {
        let socket = socket.and_then(|address| match connect(address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!(?address, %error, "systemd cannot be told anything");
                None
            }
        });
        let usec = usec.and_then(|usec| usec.parse().ok());
        let usec = usec.filter(|usec| *usec > 0 && socket.is_some());
        // Twice as often as it must be.
        let every = usec.map(|usec| Duration::from_micros(usec) / 2);
        let watchdog = every.map(|every| Watchdog { every, due: now });
        Self { socket, watchdog }
    }

    /// The supervisor listens and starts its units.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The end has begun, and may take its time.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// When to call [`Notifier::on_due`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.watchdog.map(|watchdog| watchdog.due)
    }

    /// Says that we live, if that is due. Called by the pump, so that one that hangs says nothing.
    pub(super) fn on_due(&mut self, now: Instant) {
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.due <= now
        {
            watchdog.due = now + watchdog.every;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            debug!(%error, text, "systemd cannot be told");
        }
    }
}

/// An address that begins with `@` is abstract.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // Nobody waits for a manager that does not read.
    socket.set_nonblocking(true)?;
    Ok(socket)
}
