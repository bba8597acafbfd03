//! Who may use what: the table of `ARCHITECTURE.md`.

use crate::source::{Place, Source};

/// Crates that exist to reach the operating system.
const SYSTEM_CRATES: [&str; 18] = [
    "tokio",
    "tokio_rustls",
    "tokio_openssl",
    "rustls",
    "openssl",
    "ring",
    "axum",
    "hyper",
    "hyper_util",
    "tungstenite",
    "tokio_tungstenite",
    "rusqlite",
    "rustix",
    "command_fds",
    "clap",
    "tracing_subscriber",
    "tz",
    "libc",
];

/// What of the system a path reaches, if it does. Tests may start a clock, from which their time
/// moves by hand, and read the recordings.
pub(crate) fn system_access(path: &str, in_test: bool) -> Option<&'static str> {
    let segments: Vec<&str> = path.split("::").collect();
    let first = segments.first().copied().unwrap_or_default();
    if SYSTEM_CRATES.contains(&first) {
        return Some("a crate for input and output");
    }
    if segments
        .iter()
        .any(|s| matches!(*s, "TcpStream" | "TcpListener" | "UdpSocket"))
    {
        return Some("a socket");
    }
    let clock = path.ends_with("Instant::now") || path.ends_with("SystemTime::now");
    if clock && !in_test {
        return Some("a clock");
    }
    let module = segments.get(..2)?;
    match *module {
        ["std", "fs"] if in_test => None,
        ["std", "fs"] | ["std", "os"] => Some("files"),
        ["std", "process"] => Some("processes"),
        ["std", "thread"] => Some("threads"),
        ["std", "env"] => Some("the environment"),
        ["thread", "spawn" | "sleep"] => Some("threads"),
        _ => None,
    }
}

/// Why the file may not name this path, if it may not.
pub(crate) fn forbidden_use(source: &Source, path: &str) -> Option<&'static str> {
    match (source.package(), source.place) {
        ("tests" | "fuzz" | "benches", _) => testing(source, path),
        (_, Place::Program) => program(path),
        ("broker-proto", Place::Pure) => broker_proto(source.module(), path),
        ("supervisor", _) => {
            let above = starts_with_any(path, &["mgmt", "zeek_client_compat"]);
            above.then_some("the supervisor is below these")
        }
        ("zeek-client-compat", Place::Pure) => {
            let foreign = ["mgmt", "supervisor", "broker_proto::peering"];
            let foreign = starts_with_any(path, &foreign);
            foreign.then_some("the client's side knows nothing of clusters and peerings")
        }
        ("mgmt", Place::Pure) if is_below(path, "supervisor") => {
            let api = is_below(path, "supervisor::api") || path == "supervisor";
            let door = path == "supervisor::process::Door";
            (!api && !door).then_some("of the supervisor, only its API")
        }
        (_, Place::Pure) if path.starts_with("crate::io::") => Some("pure code does not use `io`"),
        _ => None,
    }
}

fn broker_proto(module: &str, path: &str) -> Option<&'static str> {
    let codec = is_below_module(module, "codec");
    if codec && starts_with_any(path, &["crate::peering", "crate::zeek"]) {
        return Some("the codec knows bytes and values only");
    }
    let peering = is_below_module(module, "peering");
    let values = [
        "crate::zeek",
        "crate::data",
        "crate::Data",
        "crate::codec::data",
    ];
    if peering && starts_with_any(path, &values) {
        return Some("peering never looks inside a payload");
    }
    if is_below_module(module, "zeek") && is_below(path, "crate::peering") {
        return Some("what Zeek puts into values has nothing to do with links");
    }
    is_below(path, "crate::io").then_some("pure code does not use `io`")
}

fn program(path: &str) -> Option<&'static str> {
    const MACHINES: [&str; 8] = [
        "Endpoint",
        "Hub",
        "Controller",
        "Agent",
        "Supervisor",
        "ControllerProcess",
        "AgentProcess",
        "SupervisorProcess",
    ];
    let mut segments = path.split("::");
    let machine = segments.any(|segment| MACHINES.contains(&segment)) && path.contains("::new");
    if machine {
        return Some("programs read settings and call `io::run`, no machines");
    }
    let socket = path
        .split("::")
        .any(|s| matches!(s, "TcpStream" | "TcpListener"));
    socket.then_some("programs read settings and call `io::run`, no sockets")
}

fn testing(source: &Source, path: &str) -> Option<&'static str> {
    const IO: [&str; 4] = [
        "broker_proto::io",
        "supervisor::io",
        "zeek_client_compat::io",
        "mgmt::io",
    ];
    const ALLOWED: [&str; 8] = [
        "interop",
        "loopback",
        "mix",
        "supervised",
        "standin",
        "demo",
        "harness",
        "fleet",
    ];
    let mut folders = source.path.split('/').skip(1);
    let allowed = folders
        .next()
        .is_some_and(|folder| ALLOWED.contains(&folder));
    (!allowed && starts_with_any(path, &IO))
        .then_some("only interop, loopback, mix, supervised and fleet use `io`")
}

fn starts_with_any(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| is_below(path, prefix))
}

fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_below_module(module: &str, prefix: &str) -> bool {
    let rest = module.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
