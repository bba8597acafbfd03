//! The course of a run: rounds of faults, or a steady life.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Place};
use crate::fault::{Fault, Faults, Planned};
use crate::load::{Load, Pace};
use crate::look;
use crate::picture;
use crate::record::{Away, Record};
use crate::survey::Survey;

/// A run that has begun.
pub(crate) struct Run {
    seed: u64,
    out: PathBuf,
    begin: Instant,
    cluster: Cluster,
    faults: Faults,
    load: Option<Load>,
    record: Record,
    survey: Survey,
    /// Further lines of the report.
    told: Vec<String>,
}

/// A fault of the round.
struct Active {
    planned: Planned,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Coming,
    /// With how often a link has changed.
    Now(u128),
    Over,
}

/// After the last fault of a round has ended, everything is as promised within this time.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(100);
/// How long a flapping link is up, or down.
const FLAP: Duration = Duration::from_millis(400);
/// No program of ours has more, in KiB and in number.
const MOST_MEMORY_KIB: u64 = 64 * 1024;
const MOST_DESCRIPTORS: usize = 200;
/// Of a steady life.
const SAMPLE: Duration = Duration::from_secs(5);
const STEADY_PAUSE: Duration = Duration::from_secs(2);
const STEADY_GROWTH_KIB: f64 = 1024.0;
const STEADY_GROWTH_DESCRIPTORS: f64 = 2.0;

impl Run {
    /// Starts a cluster.
    ///
    /// # Errors
    /// If something cannot be built, installed or started.
    pub(crate) fn start(seed: u64, sensors: u8, place: Place, out: &Path) -> io::Result<Self> {
        let cluster = Cluster::start(sensors, place, &out.join("logs"))?;
        for lack in &cluster.lacks {
            println!("note: {lack}");
        }
        Ok(Self {
            seed,
            out: out.to_owned(),
            begin: Instant::now(),
            faults: Faults::new(seed, sensors, cluster.possible),
            cluster,
            load: None,
            record: Record::default(),
            survey: Survey::default(),
            told: Vec::new(),
        })
    }

    /// Leaves all faults out whose names contain none of these, unless there are none of these.
    ///
    /// # Errors
    /// If no fault is left.
    pub(crate) fn only(&mut self, names: &[String]) -> io::Result<()> {
        match names.is_empty() || self.faults.only(names) {
            true => Ok(()),
            false => Err(io::Error::other("no fault has such a name")),
        }
    }

    /// Rounds of faults until the time has passed.
    ///
    /// # Errors
    /// If the system or its tools refuse to be broken.
    pub(crate) fn chaos(&mut self, time: Duration) -> io::Result<()> {
        self.begin_load(Pace::Busy)?;
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.round()?;
        }
        Ok(())
    }

    /// No faults, until the time has passed.
    ///
    /// # Errors
    /// If the curves cannot be written.
    pub(crate) fn soak(&mut self, time: Duration) -> io::Result<()> {
        self.begin_load(Pace::Steady(STEADY_PAUSE))?;
        self.begin = Instant::now();
        self.record.steady = Some(self.begin);
        // It is calm since everything is up.
        if let Some(load) = &self.load {
            load.go_on();
        }
        self.survey = Survey::default();
        let until = self.begin + time;
        let mut next = self.begin;
        while Instant::now() < until {
            let losses = self.cluster.tend(Instant::now())?;
            self.record.losses.extend(losses);
            if Instant::now() >= next {
                next += SAMPLE;
                self.survey.take(&self.cluster.hosts, self.begin.elapsed());
            }
            thread::sleep(TICK);
        }
        fs::write(self.out.join("soak.csv"), self.survey.csv())?;
        fs::write(self.out.join("soak.svg"), picture::draw(&self.survey))?;
        self.judge_growth();
        let (_, losses) = self.settle()?;
        self.record.losses.extend(losses);
        Ok(())
    }

    /// Has a first configuration deployed, and all of it come up.
    fn begin_load(&mut self, pace: Pace) -> io::Result<()> {
        // Before agents have had the time to connect, a deployment would fail for good reasons.
        let listens = || self.cluster.controller_listens().then_some(());
        harness::wait_until(RECOVERY_LIMIT, listens);
        self.record.away.push(Away {
            from: self.begin,
            until: Some(Instant::now()),
        });
        let (client, sensors) = (&self.cluster.client, &self.cluster.sensors);
        let folder = self.cluster.folder();
        self.load = Some(Load::begin(client, self.seed, pace, sensors, folder));
        thread::sleep(STEADY_PAUSE);
        let (took, losses) = self.settle()?;
        println!("everything is up after {:.1} s", took.as_secs_f64());
        match losses.into_iter().next() {
            None => Ok(()),
            Some(loss) => Err(io::Error::other(format!(
                "no cluster to begin with: {loss}"
            ))),
        }
    }

    fn round(&mut self) -> io::Result<()> {
        let mut active: Vec<Active> = self
            .faults
            .round()
            .into_iter()
            .map(|planned| Active {
                planned,
                stage: Stage::Coming,
            })
            .collect();
        if let Some(load) = &self.load {
            load.go_on();
        }
        let begin = Instant::now();
        let mut losses = Vec::new();
        let mut happened = Vec::new();
        while active.iter().any(|it| it.stage != Stage::Over) {
            for it in &mut active {
                self.proceed(it, begin, &mut happened)?;
            }
            losses.extend(self.tend()?);
            thread::sleep(TICK);
        }
        let (recovery, missing) = self.settle()?;
        losses.extend(missing);
        let faults: Vec<String> = happened
            .iter()
            .map(|(it, host)| format!("{it} ({host})"))
            .collect();
        let at = self.begin.elapsed().as_secs();
        println!(
            "{at:4} s, round {}: {}; as promised {:.1} s later{}",
            self.record.rounds,
            faults.join(", "),
            recovery.as_secs_f64(),
            losses
                .iter()
                .map(|it| format!("\n  LOSS {it}"))
                .collect::<String>()
        );
        let faults: Vec<Fault> = happened.into_iter().map(|(fault, _)| fault).collect();
        self.record.round(&faults, recovery, losses);
        Ok(())
    }

    /// Moves a fault on.
    fn proceed(
        &mut self,
        it: &mut Active,
        begin: Instant,
        happened: &mut Vec<(Fault, String)>,
    ) -> io::Result<()> {
        let now = Instant::now();
        let elapsed = now.duration_since(begin);
        match it.stage {
            Stage::Coming if elapsed >= it.planned.after => {
                it.stage = Stage::Over;
                if self.cluster.begin(&it.planned, now)? {
                    it.stage = Stage::Now(0);
                    happened.push((it.planned.fault, it.planned.host.name()));
                    if it.planned.takes_the_controller_away() {
                        self.record.away.push(Away {
                            from: now,
                            until: None,
                        });
                    }
                }
            }
            Stage::Now(_) if elapsed >= it.planned.over() => {
                it.stage = Stage::Over;
                self.cluster.end(&it.planned)?;
            }
            Stage::Now(changes) if it.planned.fault == Fault::Flapping => {
                let wanted = (elapsed - it.planned.after).as_millis() / FLAP.as_millis();
                if wanted > changes {
                    self.cluster.flap(it.planned.host, wanted % 2 == 1)?;
                    it.stage = Stage::Now(wanted);
                }
            }
            Stage::Coming | Stage::Now(_) | Stage::Over => {}
        }
        Ok(())
    }

    fn tend(&mut self) -> io::Result<Vec<String>> {
        self.cluster.tend(Instant::now())
    }

    /// Waits until everything is as promised; tells how long that took and what was missing in the
    /// end.
    fn settle(&mut self) -> io::Result<(Duration, Vec<String>)> {
        let begin = Instant::now();
        let mut losses = Vec::new();
        while begin.elapsed() < RECOVERY_LIMIT {
            losses.extend(self.tend()?);
            if self.cluster.controller_listens() {
                break;
            }
            thread::sleep(TICK);
        }
        let now = Instant::now();
        for away in &mut self.record.away {
            away.until.get_or_insert(now);
        }
        let Some(load) = &self.load else {
            return Ok((begin.elapsed(), losses));
        };
        load.calm();
        let deployments = load.deployments();
        loop {
            losses.extend(self.cluster.tend(Instant::now())?);
            let (client, sensors) = (&self.cluster.client, &self.cluster.sensors);
            let looked = look::look(client, &self.cluster.hosts, sensors, &deployments);
            match looked {
                Ok(()) => break,
                Err(missing) if begin.elapsed() > RECOVERY_LIMIT => {
                    let limit = RECOVERY_LIMIT.as_secs();
                    losses.push(format!("still not as promised after {limit} s: {missing}"));
                    break;
                }
                Err(_) => thread::sleep(TICK),
            }
        }
        self.survey.take(&self.cluster.hosts, self.begin.elapsed());
        Ok((begin.elapsed(), losses))
    }

    fn judge_growth(&mut self) {
        for (program, samples) in &self.survey.0 {
            let pids: BTreeSet<i32> = samples.iter().map(|sample| sample.pid).collect();
            if pids.len() > 1 {
                let loss = format!("{program} was replaced: {pids:?}");
                self.record.losses.push(loss);
            }
        }
        for (program, growth) in self.survey.growth() {
            let (kib, open) = (growth.kib, growth.descriptors);
            self.told.push(format!(
                "{program}: {kib:+.0} KiB and {open:+.2} descriptors after warming up"
            ));
            if kib > STEADY_GROWTH_KIB || open > STEADY_GROWTH_DESCRIPTORS {
                let loss = format!("{program} grew by {kib:.0} KiB and {open:.1} descriptors");
                self.record.losses.push(loss);
            }
        }
    }

    /// Ends everything; the report, and whether every promise was kept.
    ///
    /// # Errors
    /// If the programs cannot be stopped.
    pub(crate) fn end(mut self) -> io::Result<(String, bool)> {
        let (asked, panics) = self.load.take().map(Load::end).unwrap_or_default();
        self.record.losses.extend(panics);
        let commands = self.record.judge(&asked);
        // Programs may panic when they are told to end, too.
        let stopped = self.cluster.stop();
        let hosts = self.cluster.hosts.iter();
        let logs: Vec<_> = hosts.flat_map(|host| host.logs()).collect();
        for (path, text) in &logs {
            if let Some(line) = text.lines().find(|line| line.contains("panicked at")) {
                let loss = format!("{}: {line}", path.display());
                self.record.losses.push(loss);
            }
            let flat = path.to_string_lossy().replace('/', "_");
            if !path.starts_with(&self.out) {
                fs::write(self.out.join("logs").join(flat), text)?;
            }
        }
        self.record.losses.extend(stopped?);
        let memory = self.memory();
        let notes = self.cluster.lacks.iter().map(|it| format!("note: {it}\n"));
        let notes: String = notes.collect();
        let told: String = self.told.iter().map(|it| format!("{it}\n")).collect();
        let head = format!(
            "seed {}, {} rounds, {} sensors, {} s\n",
            self.seed,
            self.record.rounds,
            self.cluster.sensors.len(),
            self.begin.elapsed().as_secs()
        );
        let faults = match self.record.rounds {
            0 => String::new(),
            _ => format!("{}\n", self.record.table()),
        };
        let verdict = self.record.verdict();
        let report = format!("{head}{notes}\n{faults}{commands}\n{memory}\n{told}{verdict}");
        Ok((report, self.record.losses.is_empty()))
    }

    /// What the programs had at most, as a table; too much is a loss.
    fn memory(&mut self) -> String {
        let mut text =
            "| program | memory, first, last and peak, MiB | descriptors, first, last and \
                        most |\n| --- | --- | --- |\n"
                .to_owned();
        for (program, samples) in &self.survey.0 {
            let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
                continue;
            };
            let peak = samples
                .iter()
                .map(|it| it.peak_kib)
                .max()
                .unwrap_or_default();
            let most = samples
                .iter()
                .map(|it| it.descriptors)
                .max()
                .unwrap_or_default();
            let mib = |kib: u64| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
            text.push_str(&format!(
                "| {program} | {}, {}, {} | {}, {}, {most} |\n",
                mib(first.kib),
                mib(last.kib),
                mib(peak),
                first.descriptors,
                last.descriptors
            ));
            if peak > MOST_MEMORY_KIB || most > MOST_DESCRIPTORS {
                let loss = format!("{program} had {peak} KiB and {most} descriptors");
                self.record.losses.push(loss);
            }
        }
        text
    }
}
