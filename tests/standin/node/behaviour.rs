//! How a node is told to misbehave: `ZEEK_STANDIN_<WHAT>=NUMBER`, or `NODE:NUMBER,…` for some
//! nodes. `--help` lists them. They work in the supervisor's environment and in a node's own `env`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use super::noise::Noise;

const PREFIX: &str = "ZEEK_STANDIN_";

/// What a node does that it should not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Behaviour {
    /// Time until it speaks to anybody, as a large configuration takes to parse.
    pub(super) start_delay: Duration,
    /// It never tells the agent that it is there.
    pub(super) is_silent: bool,
    /// It dies of itself.
    pub(super) failure: Option<Failure>,
    /// It takes no notice of SIGTERM.
    pub(super) ignores_sigterm: bool,
    /// Time from SIGTERM to the end, as a worker with full tables takes.
    pub(super) stop_delay: Duration,
    /// What it prints beside its own words.
    pub(super) noise: Noise,
    /// It ends as Zeek does if its interface or trace is not there.
    pub(super) opens_source: bool,
    /// Where it writes that it is told to stop, and that it ends.
    pub(super) diary: Option<PathBuf>,
    /// It starts a process of its own, which sleeps for so many seconds.
    pub(super) child: Option<u64>,
}

/// How a node dies of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    /// How long after its start.
    pub(super) after: Duration,
    /// Printed on standard error.
    pub(super) lines: Vec<String>,
    /// How.
    pub(super) death: Death,
}

/// How a node ends that dies of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Death {
    /// With an exit status.
    Status(u8),
    /// Of a signal.
    Signal(i32),
}

/// Where a node writes about its end, for those who want to know in which order nodes do.
pub(super) struct Diary {
    path: Option<PathBuf>,
    node: String,
}

impl Diary {
    pub(super) fn of(node: &str, behaviour: &Behaviour) -> Self {
        Self {
            path: behaviour.diary.clone(),
            node: node.to_owned(),
        }
    }

    /// Appends a line, in one piece.
    pub(super) fn note(&self, what: &str) {
        let Some(path) = &self.path else {
            return;
        };
        let line = format!("{} {what}\n", self.node);
        let file = File::options().create(true).append(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            crate::complain(&format!(
                "zeek-standin: no diary: {}",
                crate::describe(&error)
            ));
        }
    }
}

impl Failure {
    /// Prints the last words and dies.
    pub(super) fn exit(&self) -> ExitCode {
        for line in &self.lines {
            crate::complain(line);
        }
        match self.death {
            Death::Status(code) => ExitCode::from(code),
            Death::Signal(number) => {
                // The first may only remove a handler of the runtime's.
                for _ in 0..2 {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        let _ = kill_process(rustix::process::getpid(), signal);
                    }
                }
                // A signal that does not kill, or that is none.
                ExitCode::FAILURE
            }
        }
    }
}

impl Behaviour {
    /// Reads the environment of the node of this name.
    ///
    /// # Errors
    /// If a variable has another form. A test must not pass because its fault was misspelt.
    pub(super) fn read(node: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |what: &str| {
            let variable = format!("{PREFIX}{what}");
            let value = env(&variable).unwrap_or_default();
            number_for(node, &value).map_err(|wrong| format!("{variable}: '{wrong}' is no number"))
        };
        let millis = |what| Ok::<_, String>(Duration::from_millis(number(what)?.unwrap_or(0)));
        let too_large = |what: &str, number: u64| format!("{PREFIX}{what}: {number} is too large");
        let death = match (number("FAIL")?, number("SIGNAL")?) {
            (_, Some(number)) => Some(Death::Signal(
                i32::try_from(number).map_err(|_| too_large("SIGNAL", number))?,
            )),
            (Some(code), None) => Some(Death::Status(
                u8::try_from(code).map_err(|_| too_large("FAIL", code))?,
            )),
            (None, None) => None,
        };
        let failure = match death {
            Some(death) => Some(Failure {
                after: millis("FAIL_AFTER")?,
                lines: failure_lines(env(&format!("{PREFIX}FAIL_TEXT"))),
                death,
            }),
            None => None,
        };
        Ok(Self {
            start_delay: millis("START_DELAY")?,
            is_silent: number("NO_HELLO")?.unwrap_or(0) != 0,
            failure,
            ignores_sigterm: number("IGNORE_SIGTERM")?.unwrap_or(0) != 0,
            stop_delay: millis("STOP_DELAY")?,
            noise: Noise {
                lines: number("FLOOD")?.unwrap_or(0),
                rate: number("FLOOD_RATE")?.unwrap_or(0),
                time: millis("FLOOD_FOR")?,
                endless: number("LONG_LINE")?.unwrap_or(0),
                is_bad: number("BAD_TEXT")?.unwrap_or(0) != 0,
            },
            opens_source: number("OPEN_SOURCE")?.unwrap_or(0) != 0,
            diary: env(&format!("{PREFIX}DIARY")).map(PathBuf::from),
            child: number("CHILD")?,
        })
    }
}

/// The number for one node; what is said of it by name goes before what is said of all.
fn number_for<'a>(node: &str, value: &'a str) -> Result<Option<u64>, &'a str> {
    let (mut own, mut all) = (None, None);
    for entry in value.split(',').filter(|entry| !entry.is_empty()) {
        let (name, number) = match entry.rsplit_once(':') {
            Some((name, number)) => (Some(name), number),
            None => (None, entry),
        };
        let number = Some(number.parse::<u64>().map_err(|_| entry)?);
        match name {
            None => all = number,
            Some(name) if name == node => own = number,
            Some(_) => {}
        }
    }
    Ok(own.or(all))
}

fn failure_lines(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_else(|| "error: zeek-standin was told to fail".to_owned());
    text.split('|').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour(node: &str, variables: &[(&str, &str)]) -> Result<Behaviour, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name);
        Behaviour::read(node, |name| find(name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn without_orders_a_node_behaves() {
        assert_eq!(behaviour("w", &[]), Ok(Behaviour::default()));
    }

    #[test]
    fn an_order_may_be_for_all_or_for_some() {
        let delay = |node, value| {
            let behaviour = behaviour(node, &[("ZEEK_STANDIN_START_DELAY", value)]);
            behaviour.unwrap().start_delay.as_millis()
        };
        assert_eq!(delay("a", "250"), 250);
        assert_eq!(delay("a", "a:250,b:10"), 250);
        assert_eq!(delay("b", "a:250,b:10"), 10);
        assert_eq!(delay("c", "a:250,b:10"), 0);
        assert_eq!(delay("c", "a:250,5"), 5);
        assert_eq!(delay("a", "a:250,5"), 250);
    }

    #[test]
    fn a_failure_has_lines_and_a_code() {
        let variables = [
            ("ZEEK_STANDIN_FAIL", "w:3"),
            ("ZEEK_STANDIN_FAIL_AFTER", "20"),
            ("ZEEK_STANDIN_FAIL_TEXT", "error: one|two: three"),
        ];
        let want = Failure {
            after: Duration::from_millis(20),
            lines: vec!["error: one".into(), "two: three".into()],
            death: Death::Status(3),
        };
        assert_eq!(behaviour("w", &variables).unwrap().failure, Some(want));
        assert_eq!(behaviour("v", &variables).unwrap().failure, None);
    }

    #[test]
    fn a_signal_goes_before_a_code() {
        let variables = [("ZEEK_STANDIN_FAIL", "3"), ("ZEEK_STANDIN_SIGNAL", "w:9")];
        let death = |node| behaviour(node, &variables).unwrap().failure.unwrap().death;
        assert_eq!(death("w"), Death::Signal(9));
        assert_eq!(death("v"), Death::Status(3));
    }

    #[test]
    fn a_misspelt_order_is_an_error() {
        assert_eq!(
            behaviour("w", &[("ZEEK_STANDIN_NO_HELLO", "w")]),
            Err("ZEEK_STANDIN_NO_HELLO: 'w' is no number".into())
        );
        assert!(behaviour("w", &[("ZEEK_STANDIN_FAIL", "256")]).is_err());
    }
}
