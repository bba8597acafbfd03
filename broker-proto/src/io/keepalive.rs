//! Finding out that nobody is at the other end of a silent link any more (WIRE §6.5).

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// Silence before the system asks. Linux waits two hours unless told otherwise; as long, an agent
/// would wait for a controller whose host lost its power and came back.
const IDLE: Duration = Duration::from_secs(30);

/// Between two questions.
const INTERVAL: Duration = Duration::from_secs(10);

/// Questions without an answer that end a link.
const PROBES: u32 = 3;

/// Has the system end this link, or every link accepted from this socket, a minute after its other
/// end is gone without a word, if nothing was on its way to it.
///
/// What was sent and not acknowledged is sent again instead, and meanwhile Linux asks nothing: such
/// a link ends when TCP itself gives up, as Linux runs (`net.ipv4.tcp_retries2`) after some 15
/// minutes.
///
/// # Errors
/// If the system does not do that.
pub(super) fn keep_alive(socket: impl AsFd) -> io::Result<()> {
    let socket = socket.as_fd();
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, IDLE)?;
    sockopt::set_tcp_keepintvl(socket, INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, PROBES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn settings(socket: impl AsFd) -> (bool, Duration, Duration, u32) {
        let socket = socket.as_fd();
        (
            sockopt::socket_keepalive(socket).unwrap(),
            sockopt::tcp_keepidle(socket).unwrap(),
            sockopt::tcp_keepintvl(socket).unwrap(),
            sockopt::tcp_keepcnt(socket).unwrap(),
        )
    }

    #[tokio::test]
    async fn links_that_are_dialed_and_accepted_are_looked_after() {
        let wanted = (true, Duration::from_secs(30), Duration::from_secs(10), 3);
        let listener = TcpSocket::new_v4().unwrap();
        keep_alive(&listener).unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = listener.listen(1).unwrap();
        let dialer = TcpSocket::new_v4().unwrap();
        keep_alive(&dialer).unwrap();
        let dialing = dialer.connect(listener.local_addr().unwrap());
        let (dialed, accepted) = tokio::join!(dialing, listener.accept());
        assert_eq!(settings(dialed.unwrap()), wanted);
        assert_eq!(settings(accepted.unwrap().0), wanted);
    }
}
