//! Every row of API §9.1 and §9.2 has a case here: requests of the recorded agent, and the bytes
//! that stock answered it. Where the recording has no such answer, the recorded one is taken with
//! the row's result in its place.

use super::*;
use crate::api::NodeConfig;
use crate::standing::{self, NotSupervised, Standing};

const WORKER: &str = "worker-01";

/// Takes the row's text, of which create errors are told.
type Case = fn(&str);

/// Beginnings of rows.
const CASES: [(&str, Case); 12] = [
    ("`Supervisor::create(NodeConfig)`", create),
    ("`Supervisor::destroy(node = \"\")`", destroy),
    ("`Supervisor::restart(node = \"\")`", restart),
    ("`Supervisor::status(node = \"\")`", status),
    (
        "`Supervisor::is_supervisor()`, `is_supervised()`",
        is_supervisor,
    ),
    ("`Supervisor::node()`", node),
    ("`Supervisor::__stem_pid()`", stem_pid),
    ("empty name", |row| refused(row, "", Both::Set)),
    ("blank in name", |row| refused(row, "a b", Both::Set)),
    ("known name", |row| refused(row, "controller", Both::Set)),
    ("interface and pcap_file both set", |row| {
        refused(row, WORKER, Both::Set);
    }),
    ("directory given and cannot be created", |row| {
        refused(row, WORKER, Both::Unset);
    }),
];

#[test]
fn every_row_of_functions_and_create_errors_is_answered_as_stock_answers() {
    let rows = rows();
    for row in &rows {
        let mut cases = CASES.iter().filter(|(head, _)| row.starts_with(head));
        let (_, case) = cases.next().unwrap_or_else(|| panic!("no case: {row}"));
        case(row);
    }
    assert_eq!(rows.len(), CASES.len());
}

fn create(_: &str) {
    let mut talk = Talk::begin();
    for name in [WORKER, "manager", "logger-01", "proxy-01", "worker-02"] {
        let request = talk.request("create", name);
        let answer = talk.answer_to(&request);
        talk.says(&request, &answer);
        let told = talk.rig.told.last().unwrap();
        assert!(told.starts_with(&format!("create {name} ")), "{told}");
    }
}

fn destroy(_: &str) {
    let mut talk = Talk::with_nodes();
    let request = talk.request("destroy", WORKER);
    let yes = talk.answer_to(&request);
    let no = swap(&yes, &[1, 1, 0x0e, 0], &[1, 0, 0x0e, 0]);
    talk.says(&request, &yes);
    let stopped = talk.rig.children[WORKER];
    assert_eq!(talk.rig.stopping, [stopped]);
    talk.status_is(WORKER, &[]);
    talk.says(&request, &no);
    talk.says(&swap(&request, &string(WORKER), &string("")), &yes);
    talk.status_is("", &[]);
    talk.says(&swap(&request, &string(WORKER), &string("")), &yes);
}

fn restart(_: &str) {
    let mut talk = Talk::with_nodes();
    talk.rig.message(WORKER, "status worker-01 84\0");
    let before = talk.entry(WORKER, Some(84));
    talk.status_is(WORKER, std::slice::from_ref(&before));
    let request = talk.request("restart", WORKER);
    let yes = talk.answer_to(&request);
    let no = swap(&yes, &[1, 1, 0x0e, 0], &[1, 0, 0x0e, 0]);
    talk.says(&request, &yes);
    talk.status_is(WORKER, &[before]);
    talk.rig.message(WORKER, "status worker-01 89\0");
    let after = talk.entry(WORKER, Some(89));
    talk.status_is(WORKER, &[after]);
    talk.says(&swap(&request, &string(WORKER), &string("nobody")), &no);
    assert!(talk.rig.stopping.is_empty());
    talk.says(&swap(&request, &string(WORKER), &string("")), &yes);
    assert_eq!(talk.rig.stopping.len(), 7, "controller and agent too");
}

fn status(_: &str) {
    let mut talk = Talk::begin();
    let request = talk.request("status", "");
    let all = talk.answer_to(&request);
    talk.says(&request, &all);
    let controller = talk.recorded_entry("controller", "instance-1");
    talk.status_is("controller", &[controller]);
    talk.status_is("nobody", &[]);
    // Before its stem has told it, a node has no pid; when it dies, it keeps the last one.
    let request = talk.request("create", WORKER);
    talk.rig.feed(&request);
    let unstarted = talk.entry(WORKER, None);
    talk.status_is(WORKER, &[unstarted]);
    talk.rig.message(WORKER, "status worker-01 84\0");
    let dead = "error Supervised node 'worker-01' (PID 84) exited prematurely with status 1\0";
    talk.rig.message(WORKER, dead);
    let started = talk.entry(WORKER, Some(84));
    talk.status_is(WORKER, &[started]);
}

fn is_supervisor(_: &str) {
    let told = standing::told(71, &NodeConfig::named("w"));
    let node = Standing::read(Some(&told), 71).unwrap();
    let both = |standing: Standing| (standing.is_supervisor(), standing.is_supervised());
    assert_eq!(both(Standing::Supervisor), (true, false));
    assert_eq!(both(node), (false, true));
    assert_eq!(both(Standing::Alone), (false, false));
}

fn node(_: &str) {
    let mut config = NodeConfig::named("w");
    config.directory = Some("/d".into());
    let told = standing::told(71, &config);
    let node = Standing::read(Some(&told), 71).unwrap();
    assert_eq!(node.node(), Ok(&config));
    assert_eq!(Standing::Supervisor.node(), Err(NotSupervised));
    assert_eq!(Standing::Alone.node(), Err(NotSupervised));
}

fn stem_pid(_: &str) {
    let told = standing::told(71, &NodeConfig::named("w"));
    let node = Standing::read(Some(&told), 71).unwrap();
    assert_eq!(node.stem_pid(), Some(71));
    // A quirk of ours (API §15.3): there is no such thing as the supervisor's one stem.
    assert_eq!(Standing::Supervisor.stem_pid(), None);
}

/// Whether a node has an interface and a trace.
#[derive(Clone, Copy)]
enum Both {
    Set,
    Unset,
}

/// Asks for a node that has all the faults of this row and of those below it.
fn refused(row: &str, name: &str, both: Both) {
    let directory = "/usr/local/zeek/var/lib/nodes/worker-01";
    let (_, text) = row.split_once("→ `").unwrap();
    let (text, rest) = text.split_once('`').unwrap();
    let value = if text.ends_with("directory %s") {
        directory
    } else {
        name
    };
    let mut text = text.replace("%s", value);
    if rest.contains("plus a") {
        text.push('\n');
    }
    let mut talk = Talk::begin();
    talk.rig.directory = Err("Permission denied".into());
    let request = talk.request("create", WORKER);
    let answer = talk.answer_to(&request);
    let mut request = swap(&request, &string(WORKER), &string(name));
    if matches!(both, Both::Set) {
        let unset = [string("lo"), vec![0]].concat();
        request = swap(&request, &unset, &[string("lo"), string("t.pcap")].concat());
    }
    talk.says(&request, &with_end(&answer, &string(""), &string(&text)));
    assert!(talk.rig.told.is_empty());
    let request = talk.request("status", "");
    let unchanged = talk.answer_to(&request);
    talk.says(&request, &unchanged);
}

/// The recorded agent and the program that answers it.
struct Talk {
    recorded: Vec<Frame>,
    rig: Rig,
}

impl Talk {
    fn begin() -> Self {
        let recorded = recorded();
        let rig = Rig::connected(&recorded);
        Self { recorded, rig }
    }

    /// With all that the recorded agent created.
    fn with_nodes() -> Self {
        let mut talk = Self::begin();
        for name in [WORKER, "manager", "logger-01", "proxy-01", "worker-02"] {
            let request = talk.request("create", name);
            talk.rig.feed(&request);
        }
        talk
    }

    /// The first request of this kind about this node.
    fn request(&self, kind: &str, node: &str) -> Bytes {
        let event = string_of_event(kind);
        let mut frames = self.recorded.iter().filter_map(|frame| match frame {
            Frame::Client(bytes) => Some(bytes),
            Frame::Server(_) => None,
        });
        let about = string(node);
        let found = frames.find(|bytes| {
            let args = find(bytes, &event).map(|at| &bytes[at + event.len()..]);
            // The kind, the arguments' number, the id; then the node, maybe within its record.
            args.is_some_and(|args| {
                let after_id = &args[4 + usize::from(args[3])..];
                after_id.starts_with(&about) || after_id[2..].starts_with(&about)
            })
        });
        found.unwrap().clone()
    }

    /// What stock answered.
    fn answer_to(&self, request: &Bytes) -> Bytes {
        let id = id_of(request);
        let mut frames = self.recorded.iter().filter_map(|frame| match frame {
            Frame::Server(bytes) => Some(bytes),
            Frame::Client(_) => None,
        });
        let found = frames.find(|bytes| find(bytes, &id).is_some());
        found.unwrap().clone()
    }

    fn says(&mut self, request: &Bytes, answer: &Bytes) {
        let before = self.rig.sent.len();
        self.rig.feed(request);
        let sent: Vec<_> = self.rig.sent[before..].iter().collect();
        assert_eq!(sent, [&framed(answer)], "{request:?}");
    }

    /// Asks for the status of `node`.
    fn status_is(&mut self, node: &str, entries: &[Vec<u8>]) {
        let request = self.request("status", "");
        let answer = self.answer_to(&request);
        let begin = find(&answer, &[0x0e, 1, 0x0d]).unwrap() + 3;
        let count = u8::try_from(entries.len()).unwrap();
        let parts = [&answer[..begin], &[count], &entries.concat(), &[0x0e, 0]];
        let answer = parts.concat().into();
        let request = with_end(&request, &string(""), &string(node));
        self.says(&request, &answer);
    }

    /// The row of a node in a status, as the recorded agent described it.
    fn entry(&self, node: &str, pid: Option<u8>) -> Vec<u8> {
        let request = self.request("create", node);
        let id = id_of(&request);
        let begin = find(&request, &id).unwrap() + id.len();
        let config = &request[begin..request.len() - 2];
        let pid = pid.map_or_else(|| vec![0], |pid| vec![3, 0, 0, 0, 0, 0, 0, 0, pid]);
        [&string(node), &[0x0e, 2][..], config, &pid].concat()
    }

    /// The row of a node in the first recorded status.
    fn recorded_entry(&self, node: &str, next: &str) -> Vec<u8> {
        let answer = self.answer_to(&self.request("status", ""));
        let key = |node| [string(node), vec![0x0e, 2]].concat();
        let begin = find(&answer, &key(node)).unwrap();
        let end = find(&answer, &key(next)).unwrap();
        answer[begin..end].to_vec()
    }
}

/// A string as Broker writes it (WIRE §3.4).
fn string(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    assert!(len < 128, "one byte holds the length");
    [&[5, len], text.as_bytes()].concat()
}

fn string_of_event(kind: &str) -> Vec<u8> {
    string(&format!("SupervisorControl::{kind}_request"))
}

/// The request's id, as a value.
fn id_of(request: &Bytes) -> Vec<u8> {
    let name = b"_request\x0e\x02";
    let begin = find(request, name).unwrap() + name.len();
    assert_eq!(request[begin], 5, "a string");
    let end = begin + 2 + usize::from(request[begin + 1]);
    // Only the vector of arguments has it at once after the event's name.
    request[begin..end].to_vec()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// With the first `from` replaced. Nothing in front of it tells the length.
fn swap(bytes: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let at = find(bytes, from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]]
        .concat()
        .into()
}

/// With another last argument; behind it is the event's empty metadata.
fn with_end(bytes: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let end = [from, &[0x0e, 0]].concat();
    let head = bytes.strip_suffix(end.as_slice()).unwrap();
    [head, to, &[0x0e, 0]].concat().into()
}

/// What follows the number or the bar at the start of a row.
fn rows() -> Vec<String> {
    let functions = section("### 9.1 ").filter_map(|line| line.strip_prefix("| `"));
    let functions = functions.map(|row| format!("`{row}"));
    let numbered = section("### 9.2 ").filter_map(|line| {
        let (number, row) = line.split_once(". ")?;
        number.parse::<u8>().ok()?;
        Some(row)
    });
    // The last one goes on in the next line.
    let plus = section("### 9.2 ").find(|line| line.contains("trailing newline"));
    assert!(plus.is_some());
    functions.chain(numbered.map(str::to_owned)).collect()
}

fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../mgmt/API.md"));
    let (_, rest) = document.split_once(heading).expect("the section is there");
    let body = rest.split("\n#").next().unwrap_or(rest);
    body.lines()
}
