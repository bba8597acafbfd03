//! How much memory and how many descriptors our programs have, over time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use harness::processes;

use crate::host::{Host, Kind, Running};

/// What one program had at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Since the beginning.
    pub(crate) at: Duration,
    pub(crate) pid: i32,
    /// Resident memory.
    pub(crate) kib: u64,
    /// The most that it ever was.
    pub(crate) peak_kib: u64,
    pub(crate) descriptors: usize,
}

/// All samples, by program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey(pub(crate) BTreeMap<String, Vec<Sample>>);

/// How a program has grown while nothing happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    /// Of the straight line through the samples, from the first to the last of them.
    pub(crate) kib: f64,
    pub(crate) descriptors: f64,
}

/// Of a steady life, this much at the beginning is warming up, at most this long.
const WARM_UP_PART: u32 = 4;
const LONGEST_WARM_UP: Duration = Duration::from_secs(600);

const PROGRAMS: [(Kind, &str); 3] = [
    (Kind::Controller, "controller"),
    (Kind::Supervisor, "supervisor"),
    (Kind::Agent, "agent"),
];

impl Survey {
    /// Takes a sample of every program.
    pub(crate) fn take(&mut self, hosts: &[Host], at: Duration) {
        for host in hosts {
            let running = host.running();
            // What a supervisor starts is its image until it has become something else.
            let is_image = |it: &Running| {
                let parent = processes::parent(it.pid);
                let of_parent = running.iter().find(|other| Some(other.pid) == parent);
                of_parent.is_some_and(|parent| parent.kind == it.kind)
            };
            for process in running.iter().filter(|it| !is_image(it)) {
                let program = PROGRAMS
                    .iter()
                    .find(|(kind, _)| process.kind == Some(*kind));
                let Some((_, program)) = program else {
                    continue;
                };
                let pid = process.pid;
                let memory = processes::resident_kib(pid).zip(processes::peak_kib(pid));
                let taken = memory.zip(processes::descriptors(pid));
                // One that has just ended has nothing.
                let Some(((kib, peak_kib), descriptors)) = taken else {
                    continue;
                };
                let samples = self.0.entry(format!("{}/{program}", host.id.name()));
                samples.or_default().push(Sample {
                    at,
                    pid,
                    kib,
                    peak_kib,
                    descriptors,
                });
            }
        }
    }

    /// One line for each sample.
    pub(crate) fn csv(&self) -> String {
        let mut text = "seconds,program,pid,resident_kib,peak_kib,descriptors\n".to_owned();
        for (program, samples) in &self.0 {
            for it in samples {
                let at = it.at.as_secs_f64();
                writeln!(
                    text,
                    "{at:.1},{program},{},{},{},{}",
                    it.pid, it.kib, it.peak_kib, it.descriptors
                )
                .expect("a String takes any text");
            }
        }
        text
    }

    /// Growth after warming up, by program.
    pub(crate) fn growth(&self) -> BTreeMap<String, Growth> {
        let growth = self.0.iter().filter_map(|(program, samples)| {
            let whole = samples.last()?.at;
            let warm = (whole / WARM_UP_PART).min(LONGEST_WARM_UP);
            let steady: Vec<&Sample> = samples.iter().filter(|it| it.at >= warm).collect();
            let points = |value: &dyn Fn(&Sample) -> f64| -> Vec<(f64, f64)> {
                let steady = steady.iter();
                steady.map(|it| (it.at.as_secs_f64(), value(it))).collect()
            };
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            let growth = Growth {
                kib: rise(&points(&|it| it.kib as f64)),
                descriptors: rise(&points(&|it| it.descriptors as f64)),
            };
            Some((program.clone(), growth))
        });
        growth.collect()
    }
}

/// From the first to the last point, along the straight line that fits them best.
fn rise(points: &[(f64, f64)]) -> f64 {
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
        return 0.0;
    };
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let mean = |value: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let along: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if spread == 0.0 {
        return 0.0;
    }
    along / spread * (last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(secs: u64, kib: u64) -> Sample {
        Sample {
            at: Duration::from_secs(secs),
            pid: 1,
            kib,
            peak_kib: kib,
            descriptors: 7,
        }
    }

    #[test]
    fn growth_is_that_of_the_line_after_warming_up() {
        let warming = (0..25).map(|at| sample(at, 1000 * at));
        let steady = (25..=100).map(|at| sample(at, 50_000 + 2 * at));
        let samples = warming.chain(steady).collect();
        let survey = Survey(BTreeMap::from([("agent".to_owned(), samples)]));
        let growth = survey.growth()["agent"];
        assert!((growth.kib - 150.0).abs() < 1e-6, "{growth:?}");
        assert_eq!(growth.descriptors, 0.0);
    }

    #[test]
    fn samples_are_written_one_a_line() {
        let survey = Survey(BTreeMap::from([(
            "a/agent".to_owned(),
            vec![sample(5, 8000)],
        )]));
        let expected = "seconds,program,pid,resident_kib,peak_kib,descriptors\n\
                        5.0,a/agent,1,8000,8000,7\n";
        assert_eq!(survey.csv(), expected);
    }
}
