//! A socket in the place of systemd's.

use super::*;

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}

fn heard(socket: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 100];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
}

/// An abstract socket, and its address as systemd gives it.
fn listener(name: &str) -> (UnixDatagram, String) {
    let name = format!("supervisor-notify-{}-{name}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    (socket, format!("@{name}"))
}

#[test]
fn systemd_hears_of_the_start_the_end_and_of_every_half_of_its_limit() {
    let (socket, address) = listener("all");
    let t0 = start();
    let mut notifier = Notifier::new(t0, Some(address.as_ref()), Some("3000000"));
    notifier.ready();
    assert_eq!(heard(&socket).as_deref(), Some("READY=1"));
    let half = Duration::from_millis(1500);
    for (time, text) in [
        (t0, Some("WATCHDOG=1")),
        (t0 + half / 2, None),
        (t0 + half, Some("WATCHDOG=1")),
    ] {
        notifier.on_due(time);
        assert_eq!(heard(&socket).as_deref(), text);
    }
    assert_eq!(notifier.deadline(), Some(t0 + half * 2));
    notifier.stopping();
    assert_eq!(heard(&socket).as_deref(), Some("STOPPING=1"));
}

#[test]
fn a_path_is_an_address_too() {
    let path = env::temp_dir().join(format!("supervisor-notify-{}", std::process::id()));
    let socket = UnixDatagram::bind(&path).unwrap();
    Notifier::new(start(), Some(path.as_os_str()), None).ready();
    let heard = heard(&socket);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(heard.as_deref(), Some("READY=1"));
}

#[test]
fn without_systemd_nothing_is_due() {
    let t0 = start();
    for (socket, usec) in [
        (None, Some("3000000")),
        (Some(OsStr::new("/nonexistent/socket")), Some("3000000")),
    ] {
        let mut notifier = Notifier::new(t0, socket, usec);
        notifier.ready();
        assert_eq!(notifier.deadline(), None);
        notifier.on_due(t0);
        notifier.stopping();
    }
    let (_socket, address) = listener("odd");
    for usec in ["0", "soon", "-1"] {
        let notifier = Notifier::new(t0, Some(address.as_ref()), Some(usec));
        assert_eq!(notifier.deadline(), None, "{usec}");
    }
}
