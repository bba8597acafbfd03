//! What was done, what came of it, and the verdict.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::load::{Asked, Outcome};

/// Everything that is worth telling.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) rounds: u32,
    pub(crate) faults: BTreeMap<Fault, Tally>,
    /// Broken promises, each with its round.
    pub(crate) losses: Vec<String>,
    /// When the controller could not be expected to answer.
    pub(crate) away: Vec<Away>,
    /// From when on nothing goes wrong, so that there is no reason to refuse anything.
    pub(crate) steady: Option<Instant>,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    times: u32,
    /// From the end of a round's last fault until everything was as promised.
    slowest: Duration,
    /// Broken promises in rounds that had it.
    losses: usize,
}

/// A time in which the controller could not be expected to answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    pub(crate) from: Instant,
    pub(crate) until: Option<Instant>,
}

/// One command of the load.
#[derive(Clone, Debug, Default)]
struct Commands {
    answered: u32,
    explained: u32,
    excused: u32,
    slowest: Duration,
}

/// What an answer may take, starting zeek-client on a busy machine included: 19 s are the
/// controller's for a deployment (API §15).
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

impl Away {
    fn covers(&self, asked: &Asked) -> bool {
        /// For a client that is connected while the controller goes or comes.
        const MARGIN: Duration = Duration::from_secs(3);
        let ends_before = asked.end < self.from;
        let begins_after = self.until.is_some_and(|until| asked.begin > until + MARGIN);
        !ends_before && !begins_after
    }
}

impl Asked {
    /// Nodes say nothing while they are replaced, and there is no answer without them.
    fn is_disturbed_by(&self, other: &Self) -> bool {
        let replaces_nodes = ["deploy-config", "restart"].contains(&other.command);
        let at_once = self.begin <= other.end && other.begin <= self.end;
        self.command == "get-id-value" && replaces_nodes && at_once
    }
}

impl Record {
    /// A round has ended.
    pub(crate) fn round(&mut self, faults: &[Fault], recovery: Duration, losses: Vec<String>) {
        for fault in faults {
            let tally = self.faults.entry(*fault).or_default();
            tally.times += 1;
            tally.slowest = tally.slowest.max(recovery);
            tally.losses += losses.len();
        }
        let round = self.rounds;
        let losses = losses.into_iter().map(|it| format!("round {round}: {it}"));
        self.losses.extend(losses);
        self.rounds += 1;
    }

    /// Judges how commands have ended, and tells.
    pub(crate) fn judge(&mut self, asked: &[Asked]) -> String {
        let mut commands: BTreeMap<&str, Commands> = BTreeMap::new();
        for it in asked {
            let tally = commands.entry(it.command).or_default();
            let took = it.end.duration_since(it.begin);
            let is_excused = self.away.iter().any(|away| away.covers(it));
            let mut lose = |why: String| self.losses.push(format!("{}: {why}", it.command));
            match &it.outcome {
                Outcome::Endless(why) => lose(format!("did not end: {why}")),
                Outcome::Answered => tally.answered += 1,
                Outcome::Explained(why) => {
                    tally.explained += 1;
                    if self.steady.is_some_and(|steady| it.begin >= steady)
                        && !asked.iter().any(|other| it.is_disturbed_by(other))
                    {
                        lose(format!("refused although nothing was wrong: {why}"));
                    }
                }
                Outcome::Vague(_) | Outcome::Unanswered(_) if is_excused => tally.excused += 1,
                Outcome::Vague(why) => lose(format!("an error that names nothing: {why}")),
                Outcome::Unanswered(why) => lose(format!("no answer after {took:.1?}: {why}")),
            }
            if !is_excused {
                tally.slowest = tally.slowest.max(took);
                if took > ANSWER_LIMIT {
                    lose(format!("answered after {took:.1?}"));
                }
            }
        }
        let mut text =
            "| command | answered | refused with a reason | while the controller was away \
                        | slowest otherwise |\n| --- | --- | --- | --- | --- |\n"
                .to_owned();
        for (command, it) in commands {
            writeln!(
                text,
                "| {command} | {} | {} | {} | {:.1} s |",
                it.answered,
                it.explained,
                it.excused,
                it.slowest.as_secs_f64()
            )
            .expect("a String takes any text");
        }
        text
    }

    /// The faults as a table.
    pub(crate) fn table(&self) -> String {
        let mut text =
            "| fault | times | slowest recovery | losses |\n| --- | --- | --- | --- |\n".to_owned();
        for (fault, it) in &self.faults {
            writeln!(
                text,
                "| {fault} | {} | {:.1} s | {} |",
                it.times,
                it.slowest.as_secs_f64(),
                it.losses
            )
            .expect("a String takes any text");
        }
        text
    }

    /// Whether every promise was kept.
    pub(crate) fn verdict(&self) -> String {
        if self.losses.is_empty() {
            return "verdict: every promise was kept\n".to_owned();
        }
        let losses = self.losses.join("\n  ");
        format!("verdict: BROKEN, {} times\n  {losses}\n", self.losses.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> (Record, Instant) {
        let start = Instant::now();
        let away = Away {
            from: start + Duration::from_secs(10),
            until: Some(start + Duration::from_secs(20)),
        };
        let away = vec![away];
        (
            Record {
                away,
                ..Record::default()
            },
            start,
        )
    }

    fn silent(start: Instant, from: u64, until: u64) -> Asked {
        Asked {
            command: "get-nodes",
            begin: start + Duration::from_secs(from),
            end: start + Duration::from_secs(until),
            outcome: Outcome::Unanswered("nothing".to_owned()),
        }
    }

    #[test]
    fn silence_is_excused_only_while_the_controller_is_away() {
        for (from, until, losses) in [(0, 9, 1), (0, 11, 0), (15, 16, 0), (22, 25, 0), (24, 25, 1)]
        {
            let (mut record, start) = record();
            record.judge(&[silent(start, from, until)]);
            assert_eq!(record.losses.len(), losses, "{from} to {until}");
        }
    }

    #[test]
    fn a_refusal_is_a_loss_when_nothing_is_wrong() {
        let start = Instant::now();
        let secs = |secs| start + Duration::from_secs(secs);
        let refused = |from, until, command| Asked {
            command,
            outcome: Outcome::Explained("a reason".to_owned()),
            ..silent(start, from, until)
        };
        let losses = |steady, asked: &[Asked]| {
            let mut record = Record {
                steady,
                ..Record::default()
            };
            record.judge(asked);
            record.losses.len()
        };
        let steady = Some(secs(10));
        assert_eq!(losses(None, &[refused(11, 12, "get-config")]), 0);
        assert_eq!(losses(steady, &[refused(9, 12, "get-config")]), 0);
        assert_eq!(losses(steady, &[refused(10, 12, "get-config")]), 1);
        assert_eq!(losses(steady, &[refused(10, 12, "get-id-value")]), 1);
        assert_eq!(losses(steady, &[refused(10, 12, "deploy-config")]), 1);

        let mut restart = refused(12, 14, "restart");
        restart.outcome = Outcome::Answered;
        for (from, until, command, expected) in [
            (13, 15, "get-id-value", 0),
            (15, 16, "get-id-value", 1),
            (13, 15, "get-nodes", 1),
        ] {
            let asked = [restart.clone(), refused(from, until, command)];
            assert_eq!(losses(steady, &asked), expected, "{command}, {from}");
        }
    }

    #[test]
    fn a_loss_is_told_with_its_round_and_its_faults() {
        let mut record = Record::default();
        record.round(&[Fault::Slow], Duration::from_secs(1), Vec::new());
        let losses = vec!["a node is missing".to_owned()];
        record.round(&[Fault::Slow, Fault::Mute], Duration::from_secs(2), losses);
        let row = "| link slow | 2 | 2.0 s | 1 |\n";
        assert!(record.table().contains(row), "{}", record.table());
        assert!(record.verdict().contains("round 1: a node is missing"));
    }
}
