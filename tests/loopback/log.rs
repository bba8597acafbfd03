//! The management logs of a running tree (API §8.3, §8.4).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::binaries;
use harness::ports;
use harness::tree::{CONTROLLER, INSTANCE, Options, Tree};
use harness::wait_until;
use rustix::process::{Pid, Signal, kill_process};

/// From a signal to the next life's first line, with the supervisor's back-off.
const REVIVAL: Duration = Duration::from_secs(60);

#[test]
fn each_life_of_a_program_leaves_its_log_whole() {
    let tree = Tree::start(&Options::default()).unwrap();
    let queue = tree.state_folder().join("log-queue");
    let controller = log_file(&tree, CONTROLLER);
    let messages = await_message(&controller, "rx Management::Agent::API::notify_agent_hello");
    assert!(messages[0].starts_with("controller is live, Broker ID "));
    let port = format!(
        "Broker port 127.0.0.1:{}/tcp, websocket port",
        tree.ports.controller
    );
    assert!(messages[0].contains(&port), "{}", messages[0]);
    let request = "rx Management::Controller::API::get_instances_request ";
    await_message(&controller, request);
    let agent = await_message(&log_file(&tree, INSTANCE), "agent is live, Broker ID ");
    assert_eq!(agent.len(), 1, "{agent:?}");
    assert_eq!(names(&queue), [""; 0]);

    // A clean end marks the end and takes the log away.
    signal_controller(&tree, Signal::TERM);
    let ended = await_rotated(&queue, 1);
    let text = fs::read_to_string(queue.join(&ended[0])).unwrap();
    assert!(
        text.lines().last().unwrap().starts_with("#close\t"),
        "{text}"
    );
    assert_eq!(text.matches("controller is live").count(), 1, "{text}");

    // After a sudden one, the next life does.
    await_message(&controller, "controller is live, Broker ID ");
    signal_controller(&tree, Signal::KILL);
    let all = await_rotated(&queue, 2);
    let killed = all.iter().find(|name| !ended.contains(name)).unwrap();
    let text = fs::read_to_string(queue.join(killed)).unwrap();
    assert!(!text.contains("#close"), "{text}");
    assert_eq!(text.matches("controller is live").count(), 1, "{text}");
    for name in &all {
        assert!(is_rotated_name(name), "{name}");
    }
    await_message(&controller, "controller is live, Broker ID ");
    tree.stop().unwrap();
}

#[test]
fn a_program_that_may_not_write_files_says_so_once_and_runs_on() {
    let tree = Tree::start(&Options::default()).unwrap();
    let program = binaries::built().unwrap().mgmt;
    let limited = format!("ulimit -f 0; exec {} agent \"$@\"", program.display());
    let (port, state) = (ports::free(1), tree.state_folder().join("limited"));
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh"]).args([
        "Management::Agent::name=limited".to_owned(),
        "Management::Agent::listen_address=127.0.0.1".to_owned(),
        format!("Management::Agent::listen_port={port}/tcp"),
        format!("Management::state_dir={}", state.display()),
        format!("Management::spool_dir={}", state.display()),
        format!("Broker::default_port={}/tcp", tree.ports.supervisor),
        "Broker::disable_ssl=T".to_owned(),
    ]);
    let mut agent = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    let mut until = |parts: &[&str]| {
        let mut seen: Vec<String> = Vec::new();
        let has = |seen: &[String], part: &str| seen.iter().any(|line| line.contains(part));
        while !parts.iter().all(|part| has(&seen, part)) {
            let Some(line) = lines.next() else {
                panic!("no {parts:?}:\n{}", seen.join("\n"));
            };
            seen.push(line.unwrap());
        }
        seen
    };
    // A thread of its own writes, so either may come first.
    let begun = until(&["cannot write the management log", "supervisor peered"]);
    let pid = Pid::from_child(&agent);
    kill_process(pid, Signal::TERM).unwrap();
    let rest = until(&["messages of the management log were lost"]);
    let lines = [begun, rest].concat();
    let said = lines.iter().filter(|line| line.contains("cannot write"));
    assert_eq!(said.count(), 1, "{}", lines.join("\n"));
    assert!(agent.wait().unwrap().success());
    tree.stop().unwrap();
}

fn log_file(tree: &Tree, node: &str) -> PathBuf {
    let name = format!("nodes/{node}/management-{node}.log");
    tree.state_folder().join(name)
}

/// Waits for a message that starts so, and returns all.
fn await_message(path: &Path, start: &str) -> Vec<String> {
    let found = wait_until(REVIVAL, || {
        let messages = messages(path)?;
        let fits = messages.iter().any(|message| message.starts_with(start));
        fits.then_some(messages)
    });
    found.unwrap_or_else(|| panic!("no {start} in {}", path.display()))
}

/// Reads a log as a program would that knows nothing but its header.
fn messages(path: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    // The last line may still be under way.
    let (text, _) = text.rsplit_once('\n')?;
    let header = text.lines().find_map(|line| line.strip_prefix("#fields\t"));
    let fields: Vec<&str> = header?.split('\t').collect();
    assert_eq!(fields, ["ts", "node", "level", "role", "message"]);
    let records = text.lines().filter(|line| !line.starts_with('#'));
    let records = records.map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns.len(), fields.len(), "{line}");
        assert!(columns[0].parse::<f64>().is_ok(), "{line}");
        columns[4].to_owned()
    });
    Some(records.collect())
}

fn await_rotated(queue: &Path, count: usize) -> Vec<String> {
    let found = wait_until(REVIVAL, || {
        Some(names(queue)).filter(|names| names.len() == count)
    });
    found.unwrap_or_else(|| panic!("{:?} are not {count}", names(queue)))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.collect()
}

/// `management-controller__2026-11-21-19-33-26__2026-11-21-20-00-00__.log`
fn is_rotated_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split("__").collect();
    let is_time = |text: &str| text.split('-').count() == 6 && text.len() == 19;
    matches!(parts[..], ["management-controller", open, close, ".log"]
        if is_time(open) && is_time(close))
}

fn signal_controller(tree: &Tree, signal: Signal) {
    let is_controller = |command: &str| command.split(' ').any(|word| word == "controller");
    let all = tree.processes();
    let found = all.iter().find(|process| is_controller(&process.command));
    kill_process(Pid::from_raw(found.unwrap().pid).unwrap(), signal).unwrap();
}
