//! What the operator says, in scripts, arguments and environment, and what the programs make of it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use harness::binaries;
use harness::client::ZeekClient;
use harness::command::{self, Finished};
use harness::ports;
use harness::processes::{self, MARKER};
use harness::wait_until;
use rustix::process::{Pid, Signal, kill_process};

/// To print something, and to start.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A deployment as `doc/frameworks/management.rst` and zeek-testing-cluster have them.
const SITE: [(&str, &str); 4] = [
    (
        "site/controller-and-agent.zeek",
        "@load ./controller\n@load ./agent\n",
    ),
    (
        "site/controller.zeek",
        "@load policy/frameworks/management/controller\n\
         @load policy/frameworks/management/supervisor/config\n\n\
         redef Management::Controller::name = \"controller\";\n\n\
         # Disable metrics port assignment by default to reduce baseline noise.\n\
         redef Management::Controller::auto_assign_metrics_ports = F;\n\n\
         @load ./local\n",
    ),
    (
        "site/agent.zeek",
        "@load policy/frameworks/management/agent\n\n\
         redef Management::Agent::name = \"instance-1\";\n\
         @load ./local.zeek\n",
    ),
    (
        "site/local.zeek",
        "@load misc/loaded-scripts\n@load tuning/json-logs\n\n\
         redef Log::enable_local_logging = T;\n\
         redef Site::local_nets += { 192.168.0.0/16, [fe80::]/10 };\n\
         event zeek_init() { print \"up\"; }\n\
         @load ./ports\n",
    ),
];

#[test]
fn each_setting_is_shown_with_where_it_comes_from() {
    let site = Site::new(&SITE);
    site.write(
        "site/ports.zeek",
        "redef Broker::default_port = 10001/tcp;\n",
    );
    let mut command = site.program(&["run", "site/controller-and-agent", "--show-settings"]);
    command.args([
        "-C",
        "Management::Agent::default_port=2152/tcp",
        "Site::x=1",
    ]);
    command.env("ZEEK_AGENT_NAME", "other");
    command.env("ZEEK_CONTROLLER_WEBSOCKET_PORT", "21490/tcp");
    let done = command::run(&mut command, LIMIT).unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    for line in [
        "Broker::default_port = 10001/tcp  # site/ports.zeek:1",
        "Management::Agent::default_port = 2152/tcp  # argument",
        "Management::Agent::listen_port = 2152/tcp  # as Management::Agent::default_port",
        "Management::Agent::name = \"instance-1\"  # site/agent.zeek:3, not environment ZEEK_AGENT_NAME",
        "Management::Controller::auto_assign_metrics_ports = F  # site/controller.zeek:7",
        "Management::Controller::listen_port_websocket = 21490/tcp  # environment ZEEK_CONTROLLER_WEBSOCKET_PORT",
        "Management::connect_retry = 1sec  # default",
    ] {
        assert!(
            done.stdout.lines().any(|shown| shown == line),
            "{line} is not in\n{}",
            done.stdout
        );
    }
    assert!(done.stdout.lines().is_sorted());
    // All of it is Zeek's business and read by the nodes.
    assert_eq!(done.stderr, "");
    let again = command::run(&mut command, LIMIT).unwrap();
    assert_eq!(again.stdout, done.stdout);
}

#[test]
fn everything_wrong_is_told_at_once_before_anything_listens() {
    let site = Site::new(&[(
        "site/bad.zeek",
        "\nredef Management::Agent::nmae = \"x\";\n@load ./gone\nredef Broker::disable_ssl = 1;\n",
    )]);
    let port = ports::free(1);
    for program in ["controller", "agent"] {
        let mut command = site.program(&[
            program,
            "--redef",
            "site/bad.zeek",
            "--redef",
            "nowhere.zeek",
        ]);
        command.arg(format!("Management::Controller::listen_port={port}/tcp"));
        command.arg("Management::Agent::default_port=70000/tcp");
        command.env("ZEEK_AGENT_PORT", "2151");
        let done = command::run(&mut command, LIMIT).unwrap();
        let dir = site.folder.join("site").display().to_string();
        let expected = [
            "zeek-mgmt: environment ZEEK_AGENT_PORT: '2151' is not a port from 1/tcp to 65535/tcp".to_owned(),
            "zeek-mgmt: site/bad.zeek:2: there is no option Management::Agent::nmae".to_owned(),
            format!("zeek-mgmt: site/bad.zeek:3: there is no script ./gone, looked in {dir}"),
            "zeek-mgmt: site/bad.zeek:4: Broker::disable_ssl: 1 is not T or F".to_owned(),
            "zeek-mgmt: argument: there is no script ./nowhere.zeek, looked in .".to_owned(),
            "zeek-mgmt: argument: Management::Agent::default_port: 70000/tcp is no port, the highest is 65535".to_owned(),
        ];
        assert_eq!(done.stderr.lines().collect::<Vec<_>>(), expected);
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    }
}

#[test]
fn what_has_no_effect_is_named_in_a_warning() {
    let text = "redef Broker::max_threads = 4;\n@if ( T )\nredef Management::Agent::name = \"no\";\n@endif\nevent zeek_init() { }\n";
    let site = Site::new(&[("a.zeek", text)]);
    let mut command = site.program(&["agent", "--redef", "a.zeek", "--show-settings"]);
    let done = command::run(&mut command, LIMIT).unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.stdout.contains("\"no\""), "{}", done.stdout);
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.stderr);
    assert!(
        lines[0].contains("WARN") && lines[0].contains("Broker::max_threads has no effect here")
    );
    assert!(lines[0].contains("a.zeek:1"));
    assert!(
        lines[1].contains("a.zeek:2 @if ( T ), a.zeek:5 event zeek_init"),
        "{}",
        lines[1]
    );
}

#[test]
fn a_site_script_starts_controller_and_agent_on_its_ports() {
    let site = Site::new(&SITE);
    let ports = site.write_ports();
    let standin = standin();
    let print = "Management::Supervisor::print_stderr=T";
    let running = site.start(&[
        "run",
        &standin,
        "-j",
        "site/controller-and-agent.zeek",
        print,
    ]);
    for port in ports {
        running.await_port(port);
    }
    let programs = BTreeSet::from([
        "agent".to_owned(),
        "controller".to_owned(),
        "run".to_owned(),
    ]);
    assert_eq!(running.programs(), programs);
    // What it writes first, there and here.
    running.await_said("[controller] ");
    for node in ["controller", "instance-1"] {
        let file = site.folder.join(format!("state/nodes/{node}/stdout"));
        let made = wait_until(LIMIT, || file.exists().then_some(()));
        assert!(made.is_some(), "no {}", file.display());
    }
    running.stop();
}

#[test]
fn a_script_that_loads_only_the_agent_starts_only_the_agent() {
    let site = Site::new(&SITE);
    let [_, _, agent, supervisor] = site.write_ports();
    let running = site.start(&["run", &standin(), "-j", "site/agent", "-b"]);
    for port in [agent, supervisor] {
        running.await_port(port);
    }
    let programs = BTreeSet::from(["agent".to_owned(), "run".to_owned()]);
    assert_eq!(running.programs(), programs);
    running.stop();
}

#[test]
fn a_tree_without_an_agent_needs_no_port_for_its_supervisor() {
    let site = Site::new(&SITE);
    let [controller, _, _, supervisor] = site.write_ports();
    let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, supervisor)).unwrap();
    let retry = "Broker::default_listen_retry=20msec";
    let running = site.start(&["run", &standin(), "site/controller.zeek", retry]);
    running.await_port(controller);
    assert!(
        !running.said().contains("cannot listen"),
        "{}",
        running.said()
    );
    let enable = "SupervisorControl::enable_listen=T";
    let site = Site::new(&[]);
    let port = format!("Broker::default_port={supervisor}/tcp");
    let script = "policy/frameworks/management/controller";
    let off = "Management::Controller::listen_port=0/unknown";
    let client_off = "Management::Controller::listen_port_websocket=0/unknown";
    let state = "Management::state_dir=state";
    let second = site.start(&[
        "run",
        &standin(),
        script,
        &port,
        enable,
        retry,
        off,
        client_off,
        state,
    ]);
    second.await_said("cannot listen");
    // It is there as soon as the port is.
    drop(listen);
    second.await_port(supervisor);
    second.stop();
    running.stop();
}

#[test]
fn scripts_without_controller_and_agent_are_no_cluster() {
    let site = Site::new(&SITE);
    site.write("site/ports.zeek", "");
    let run = |args: &[&str]| -> Finished {
        let mut command = site.program(&["run"]);
        command::run(command.args(args), LIMIT).unwrap()
    };
    let done = run(&["-j", "site/local"]);
    let expected = "zeek-mgmt: neither policy/frameworks/management/controller nor \
                    policy/frameworks/management/agent is loaded, looked at site/local.zeek, \
                    site/ports.zeek; `zeek-mgmt supervisor` runs a supervisor alone\n";
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), expected));
    let done = run(&["-j", "-r", "trace.pcap", "site/agent"]);
    let expected = "zeek-mgmt: Zeek's option -r cannot be used here: nodes get their traffic from \
                    the cluster's configuration\n";
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), expected));
}

#[test]
fn clients_are_served_with_the_certificate_of_the_websocket_port() {
    let site = Site::new(&[]);
    let [_, websocket, ..] = site.write_ports();
    let folder = harness::folder().join("certificates");
    let file = |name: &str| folder.join(name).display().to_string();
    let options = format!(
        "redef Management::Controller::tls_options_websocket = Cluster::WebSocketTLSOptions(\n\
         $ca_file=\"{}\", $enable_peer_verification=T,\n$cert_file=\"{}\", $key_file=\"{}\",\n);\n",
        file("ca.pem"),
        file("controller.pem"),
        file("controller.key")
    );
    site.write("tls.zeek", &format!("@load ./site/ports\n{options}"));
    let running = site.start(&["controller", "--redef", "tls.zeek"]);
    running.await_port(websocket);

    let client = ZeekClient::installed().unwrap();
    let set = |name: &str, value: String| format!("ssl.{name}={value}");
    let certificate = [
        set("certificate", file("client.pem")),
        set("keyfile", file("client.key")),
        set("cafile", file("ca.pem")),
    ];
    let mut args = vec!["--set", "ssl.enable=true"];
    args.extend(
        certificate
            .iter()
            .flat_map(|setting| ["--set", setting.as_str()]),
    );
    args.push("get-instances");
    let done = client.run(websocket, &args).unwrap();
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(0), "{}\n"),
        "{done:?}"
    );
    let mut plan = site.program(&["plan", "/dev/null"]);
    let settings = format!(
        "ssl.enable=true controller.port={websocket} {}",
        certificate.join(" ")
    );
    plan.env("ZEEK_CLIENT_CONFIG_SETTINGS", settings);
    let done = command::run(&mut plan, LIMIT).unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    // Without a certificate, and without TLS.
    let done = client
        .run(websocket, &["--set", "ssl.enable=true", "get-instances"])
        .unwrap();
    assert_eq!(done.code, Some(1), "{done:?}");
    let done = client.run(websocket, &["get-instances"]).unwrap();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("TLS required"), "{done:?}");
    running.await_said("the client does not speak TLS");
    running.stop();
}

/// A folder with scripts, gone when dropped.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    mark: String,
}

impl Site {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("settings-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(format!("zeek-mgmt-{mark}"));
        fs::create_dir_all(folder.join("state")).unwrap();
        let site = Self { folder, mark };
        for (name, text) in files {
            site.write(name, text);
        }
        site
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Of the controller, for clients, of the agent, of the supervisor.
    pub(crate) fn write_ports(&self) -> [u16; 4] {
        let ports: [u16; 4] = std::array::from_fn(|_| ports::free(1));
        let [controller, websocket, agent, supervisor] = ports;
        let state = self.folder.join("state");
        let text = format!(
            "redef Management::default_address = \"127.0.0.1\";\n\
             redef Management::Controller::default_port = {controller}/tcp;\n\
             redef Management::Controller::default_port_websocket = {websocket}/tcp;\n\
             redef Management::Agent::default_port = {agent}/tcp;\n\
             redef Broker::default_port = {supervisor}/tcp;\n\
             redef Management::state_dir = \"{state}\";\n\
             redef Management::spool_dir = \"{state}\";\n",
            state = state.display()
        );
        self.write("site/ports.zeek", &text);
        ports
    }

    pub(crate) fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binaries::built().unwrap().mgmt);
        command.args(args).current_dir(&self.folder);
        command.env(MARKER, &self.mark).env("RUST_LOG", "info");
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.program(args);
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Running {
            child: child.spawn().unwrap(),
            log: self.folder.join("log"),
            mark: self.mark.clone(),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn standin() -> String {
    format!("--zeek={}", binaries::built().unwrap().standin.display())
}

/// A running program.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    mark: String,
}

impl Running {
    pub(crate) fn await_port(&self, port: u16) {
        let open = wait_until(LIMIT, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        assert!(open.is_some(), "nobody listens on {port}:\n{}", self.said());
    }

    /// The subcommands of the processes.
    fn programs(&self) -> BTreeSet<String> {
        let own = Path::new(&binaries::built().unwrap().mgmt)
            .display()
            .to_string();
        let processes = processes::marked(&self.mark).into_iter();
        let commands = processes.filter_map(|process| {
            let mut words = process.command.split(' ');
            words.next().filter(|program| *program == own)?;
            words.next().map(str::to_owned)
        });
        commands.collect()
    }

    /// Waits until it has said this; what it answers goes another way.
    pub(crate) fn await_said(&self, text: &str) {
        let found = wait_until(LIMIT, || self.said().contains(text).then_some(()));
        assert!(found.is_some(), "no '{text}':\n{}", self.said());
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let ended = command::wait(&mut self.child, LIMIT).unwrap();
        assert!(
            ended.is_some_and(|status| status.success()),
            "{}",
            self.said()
        );
        let left = || processes::marked(&self.mark);
        wait_until(LIMIT, || left().is_empty().then_some(()));
        assert_eq!(left(), []);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Ok(Some(pid)) = i32::try_from(self.child.id()).map(Pid::from_raw) {
            // It may be gone already.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = command::wait(&mut self.child, LIMIT);
        }
    }
}
