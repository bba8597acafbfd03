//! The stock zeek-client, asking all the time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use broker_proto::IdGen;
use harness::client::ZeekClient;
use harness::command::{self, Finished};
use serde_json::Value;

use crate::configuration::{self, Sensor};
use crate::network::{HostId, Network};

/// Longer than zeek-client tries, connecting included.
const RUN_LIMIT: Duration = Duration::from_secs(90);

/// A zeek-client on the controller's host.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) network: Arc<Network>,
    pub(crate) client: ZeekClient,
    pub(crate) port: u16,
}

/// How a command ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// As wished.
    Answered,
    /// With errors that say what is the matter; the first of them.
    Explained(String),
    /// With errors that do not.
    Vague(String),
    /// Nobody answered.
    Unanswered(String),
    /// It did not even end.
    Endless(String),
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) command: &'static str,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) outcome: Outcome,
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Whether anything is to be changed, or only looked at.
    calm: AtomicBool,
    changing: AtomicBool,
    asked: Mutex<Vec<Asked>>,
    attempted: AtomicU64,
    acknowledged: AtomicU64,
}

/// Threads that run commands one after the other.
pub(crate) struct Load {
    shared: Arc<Shared>,
    /// Each with what it does.
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

/// How much is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// One command after the other.
    Busy,
    /// One after so much time.
    Steady(Duration),
}

const QUERIES: [&[&str]; 4] = [
    &["get-instances"],
    &["get-nodes"],
    &["get-config", "--deployed", "--as-json"],
    &["get-id-value", "bits_per_uid"],
];

impl Client {
    pub(crate) fn run(&self, args: &[&str]) -> io::Result<Finished> {
        let command = self.client.command(self.port, args);
        let mut command = self.network.inside(HostId::CONTROLLER, &command);
        command::run(&mut command, RUN_LIMIT)
    }

    fn ask(&self, args: &[&'static str], more: &[&str]) -> Asked {
        let begin = Instant::now();
        let outcome = match self.run(&[args, more].concat()) {
            Ok(done) => Outcome::of(&done),
            Err(error) => Outcome::Endless(error.to_string()),
        };
        Asked {
            command: args.first().copied().unwrap_or_default(),
            begin,
            end: Instant::now(),
            outcome,
        }
    }
}

impl Outcome {
    fn of(done: &Finished) -> Self {
        let json: Option<Value> = serde_json::from_str(&done.stdout).ok();
        let errors = json
            .as_ref()
            .and_then(|json| json.get("errors")?.as_array());
        let errors = errors.map(Vec::as_slice).unwrap_or_default();
        let Some(first) = errors.first() else {
            return match done.code {
                Some(0) => Self::Answered,
                // `get-config` has no JSON for what there is not.
                _ if done.stderr.contains("no deployed configuration") => {
                    Self::Explained(done.stderr.trim().to_owned())
                }
                _ => Self::Unanswered(last_line(&done.stderr)),
            };
        };
        let text = |error: &Value| error.to_string();
        let names_a_node = json.as_ref().is_some_and(names_a_failed_node);
        match errors.iter().find(|error| is_telling(error)) {
            Some(error) => Self::Explained(text(error)),
            None if names_a_node => Self::Explained(text(first)),
            None => Self::Vague(text(first)),
        }
    }
}

/// A deployment's answer has a result for each node beside the errors.
fn names_a_failed_node(answer: &Value) -> bool {
    let nodes = answer
        .get("results")
        .and_then(|results| results.get("nodes")?.as_object());
    let mut nodes = nodes.into_iter().flatten();
    nodes.any(|(_, node)| node.get("success") == Some(&Value::Bool(false)))
}

/// Whether an error says more than that time has passed.
fn is_telling(error: &Value) -> bool {
    let text = error.as_str().or_else(|| error.get("error")?.as_str());
    let named = error.get("source").and_then(Value::as_str);
    let text = text.unwrap_or_default();
    named.is_some_and(|name| !name.is_empty()) || !(text.is_empty() || text.ends_with("timed out"))
}

fn last_line(text: &str) -> String {
    text.trim_end()
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

impl Load {
    /// Begins. Configurations are written to `folder`, and have numbers above `deployed`.
    pub(crate) fn begin(
        client: &Client,
        seed: u64,
        pace: Pace,
        sensors: &[Sensor],
        folder: PathBuf,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let mut ids = IdGen::new(seed);
        let changer = Changer {
            client: client.clone(),
            shared: Arc::clone(&shared),
            ids: IdGen::new(ids.next_u64()),
            sensors: sensors.to_vec(),
            folder,
            pace,
        };
        let (client, looking) = (client.clone(), Arc::clone(&shared));
        let looker = thread::spawn(move || {
            while !looking.over.load(Ordering::SeqCst) {
                let at = usize::try_from(ids.next_u64() % 4).unwrap_or_default();
                let asked = client.ask(QUERIES.get(at).copied().unwrap_or_default(), &[]);
                looking.note(asked);
                pace.wait();
            }
        });
        let changer = thread::spawn(move || changer.run());
        let threads = vec![("looks", looker), ("deploys", changer)];
        Self { shared, threads }
    }

    /// From here on nothing is changed; waits for what is under way.
    pub(crate) fn calm(&self) {
        self.shared.calm.store(true, Ordering::SeqCst);
        harness::wait_until(RUN_LIMIT * 2, || {
            let changing = self.shared.changing.load(Ordering::SeqCst);
            (!changing).then_some(())
        });
    }

    /// Changes may go on.
    pub(crate) fn go_on(&self) {
        self.shared.calm.store(false, Ordering::SeqCst);
    }

    /// The numbers that the deployed configuration may have.
    pub(crate) fn deployments(&self) -> std::ops::RangeInclusive<u64> {
        let least = self.shared.acknowledged.load(Ordering::SeqCst);
        least..=self.shared.attempted.load(Ordering::SeqCst)
    }

    /// Ends, and tells how each command has ended, and which threads have asked no more because they
    /// panicked.
    pub(crate) fn end(self) -> (Vec<Asked>, Vec<String>) {
        self.shared.over.store(true, Ordering::SeqCst);
        let mut panics = Vec::new();
        for (client, thread) in self.threads {
            // The thread has said why.
            if thread.join().is_err() {
                panics.push(format!("the client that {client} panicked"));
            }
        }
        let mut asked = self
            .shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut asked), panics)
    }
}

impl Shared {
    fn note(&self, asked: Asked) {
        let mut list = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(asked);
    }
}

impl Pace {
    fn wait(self) {
        if let Self::Steady(pause) = self {
            thread::sleep(pause);
        }
    }

    /// The next number. Odd ones all have the same nodes, so that a steady life does not look like
    /// growth or hide it.
    fn next_deployment(self, last: u64) -> u64 {
        match self {
            Self::Busy => last + 1,
            Self::Steady(_) => last + 1 + last % 2,
        }
    }

    /// Of so many commands that may change something, one does.
    fn rarity(self) -> u64 {
        match self {
            Self::Busy => 2,
            Self::Steady(_) => 40,
        }
    }
}

/// The one who deploys and restarts, so that deployments have an order.
struct Changer {
    client: Client,
    shared: Arc<Shared>,
    ids: IdGen,
    sensors: Vec<Sensor>,
    folder: PathBuf,
    pace: Pace,
}

impl Changer {
    fn run(mut self) {
        while !self.shared.over.load(Ordering::SeqCst) {
            self.shared.changing.store(true, Ordering::SeqCst);
            let none_yet = self.shared.acknowledged.load(Ordering::SeqCst) == 0;
            if !self.shared.calm.load(Ordering::SeqCst) {
                match self.ids.next_u64() % (2 * self.pace.rarity()) {
                    _ if none_yet => self.deploy(),
                    0 => self.deploy(),
                    1 => self.restart(),
                    _ => self.shared.note(self.client.ask(&["get-nodes"], &[])),
                }
            }
            self.shared.changing.store(false, Ordering::SeqCst);
            match self.pace {
                Pace::Busy => thread::sleep(Duration::from_millis(50)),
                Pace::Steady(_) => self.pace.wait(),
            }
        }
    }

    fn deploy(&self) {
        let number = self
            .pace
            .next_deployment(self.shared.attempted.load(Ordering::SeqCst));
        self.shared.attempted.store(number, Ordering::SeqCst);
        let path = self.folder.join("cluster.ini");
        if let Err(error) = fs::write(&path, configuration::ini(number, &self.sensors)) {
            let now = Instant::now();
            let outcome = Outcome::Endless(format!("{}: {error}", path.display()));
            return self.shared.note(Asked {
                command: "deploy-config",
                begin: now,
                end: now,
                outcome,
            });
        }
        let path = path.to_string_lossy();
        let begin = Instant::now();
        let done = self.client.run(&["deploy-config", &path]);
        let outcome = match &done {
            Ok(done) => Outcome::of(done),
            Err(error) => Outcome::Endless(error.to_string()),
        };
        if done.is_ok_and(|done| has_id(&done.stdout)) {
            self.shared.acknowledged.store(number, Ordering::SeqCst);
        }
        self.shared.note(Asked {
            command: "deploy-config",
            begin,
            end: Instant::now(),
            outcome,
        });
    }

    /// One node, or all.
    fn restart(&mut self) {
        let number = self.shared.acknowledged.load(Ordering::SeqCst);
        let nodes: BTreeMap<_, _> = configuration::nodes(number, &self.sensors);
        let which = self.ids.next_u64() % (nodes.len() as u64 + 1);
        let node = nodes.keys().nth(usize::try_from(which).unwrap_or_default());
        let node: Vec<&str> = node.map(String::as_str).into_iter().collect();
        self.shared.note(self.client.ask(&["restart"], &node));
    }
}

/// Whether the answer to a deployment says that it is the deployed one.
fn has_id(answer: &str) -> bool {
    let json: Option<Value> = serde_json::from_str(answer).ok();
    let id = json
        .as_ref()
        .and_then(|json| json.get("results")?.get("id")?.as_str());
    id.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: i32, stdout: &str, stderr: &str) -> Outcome {
        Outcome::of(&Finished {
            code: Some(code),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        })
    }

    #[test]
    fn an_error_that_names_nothing_is_vague() {
        let answer = r#"{"errors": ["request timed out"], "results": {}}"#;
        assert_eq!(
            outcome(1, answer, ""),
            Outcome::Vague("\"request timed out\"".to_owned())
        );
        let answer = r#"{"errors": [{"source": "sensor-1", "error": "did not answer"}]}"#;
        assert!(matches!(outcome(1, answer, ""), Outcome::Explained(_)));
        let answer = r#"{"errors": ["request timed out"],
            "results": {"id": "x", "nodes": {"w": {"success": false, "instance": "s"}}}}"#;
        assert!(matches!(outcome(1, answer, ""), Outcome::Explained(_)));
    }

    #[test]
    fn a_steady_life_has_odd_deployments_only() {
        let steady = Pace::Steady(Duration::from_secs(2));
        assert_eq!(
            [0, 1, 3].map(|last| steady.next_deployment(last)),
            [1, 3, 5]
        );
        assert_eq!(
            [0, 1, 2].map(|last| Pace::Busy.next_deployment(last)),
            [1, 2, 3]
        );
    }

    #[test]
    fn silence_is_told_from_answers() {
        assert_eq!(outcome(0, "{}", ""), Outcome::Answered);
        let stderr = "warning: x\nerror: no response received\n";
        let silence = Outcome::Unanswered("error: no response received".to_owned());
        assert_eq!(outcome(1, "", stderr), silence);
    }
}
