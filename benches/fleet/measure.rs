//! What is measured of one fleet.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use harness::wait_until;

use crate::agents::{First, Fleet, Shape, configuration, node_name};
use crate::client::{Ask, Client, Waiting};
use crate::controller::{Controller, Program};
use crate::report::{Figure, Spread};

/// Between two signs of life of the client.
const SILENCE: Duration = Duration::from_secs(10);

/// For all agents to come, and for a deployment.
const LIMIT: Duration = Duration::from_secs(120);

/// How often each thing is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) requests: usize,
    pub(crate) pipelined: usize,
    pub(crate) deployments: usize,
    pub(crate) idle: Duration,
}

/// One fleet and its controller.
pub(crate) struct Rig {
    pub(crate) shape: Shape,
    pub(crate) controller: Controller,
    pub(crate) fleet: Fleet,
    pub(crate) client: Client,
    /// From the first dial until the controller knew all agents.
    pub(crate) gathered: Duration,
}

impl Rig {
    pub(crate) fn start(shape: Shape, program: &Program) -> io::Result<Self> {
        let controller = Controller::start(shape.protection, program)?;
        let client = Client::new(controller.websocket)?;
        let begin = Instant::now();
        let fleet = Fleet::start(shape, controller.broker)?;
        let mut rig = Self {
            shape,
            controller,
            fleet,
            client,
            gathered: Duration::ZERO,
        };
        rig.await_instances()?;
        rig.gathered = begin.elapsed();
        Ok(rig)
    }

    pub(crate) fn await_instances(&mut self) -> io::Result<()> {
        let wanted = self.shape.agents;
        let (fleet, client) = (&self.fleet, &mut self.client);
        let begin = Instant::now();
        // Asking costs the controller something, too.
        while fleet.connected() < wanted && begin.elapsed() < LIMIT {
            wait_until(SILENCE, || (fleet.connected() >= wanted).then_some(()));
            client.instances()?;
        }
        loop {
            let known = client.instances()?;
            if known >= wanted {
                return Ok(());
            }
            if begin.elapsed() > LIMIT {
                let text = format!("{known} of {wanted} agents came");
                return Err(io::Error::other(text));
            }
        }
    }

    pub(crate) fn stage(&mut self) -> io::Result<Duration> {
        self.client.stage(&configuration(self.shape))
    }

    /// Time and the controller's processor time of the deployment alone.
    pub(crate) fn deploy(&mut self) -> io::Result<(Duration, Duration)> {
        let (times, processor) = self.timed(&Ask::Deploy, 1)?;
        let nodes = self.client.nodes()?;
        let wanted = self.shape.agents * self.shape.nodes;
        if nodes != wanted {
            let text = format!("{nodes} of {wanted} nodes after a deployment");
            return Err(io::Error::other(text));
        }
        Ok((times.into_iter().sum(), processor))
    }

    /// Until every agent is there again and lists its nodes.
    fn restart_controller(&mut self) -> io::Result<(Duration, Duration)> {
        let begin = Instant::now();
        self.controller.restart()?;
        let listening = begin.elapsed();
        self.client = Client::new(self.controller.websocket)?;
        self.await_instances()?;
        let known = begin.elapsed().saturating_sub(listening);
        let wanted = self.shape.agents * self.shape.nodes;
        loop {
            let nodes = self.client.nodes()?;
            let time = begin.elapsed();
            if nodes == wanted {
                return Ok((known, time.saturating_sub(listening)));
            }
            if time > LIMIT {
                let text = format!("{nodes} of {wanted} nodes after a restart");
                return Err(io::Error::other(text));
            }
        }
    }

    /// Time and the controller's processor time of requests, one after the other.
    fn sequential(&mut self, what: &str, ask: &Ask, count: usize) -> io::Result<Figure> {
        let (times, processor) = self.timed(ask, count)?;
        Ok(self.figure(what, times, processor))
    }

    fn timed(&mut self, ask: &Ask, count: usize) -> io::Result<(Vec<Duration>, Duration)> {
        let before = self.controller.processor_time();
        let times = self.client.sequential(ask, count)?;
        let processor = self.controller.processor_time().saturating_sub(before);
        Ok((times, processor))
    }

    fn pipelined(&mut self, what: &str, ask: &Ask, count: usize) -> io::Result<Figure> {
        let processor = self.controller.processor_time();
        let times = self.client.pipelined(ask, count)?;
        let processor = self.controller.processor_time().saturating_sub(processor);
        let all = times.last().copied().unwrap_or_default();
        let rate = count as f64 / all.as_secs_f64();
        let figure = self.figure(what, times, processor);
        Ok(Figure {
            rate: Some(rate),
            ..figure
        })
    }

    fn figure(&self, what: &str, times: Vec<Duration>, processor: Duration) -> Figure {
        let count = times.len().max(1) as f64;
        Figure {
            agents: self.shape.agents,
            nodes: self.shape.nodes,
            what: what.to_owned(),
            rate: None,
            processor: Some(processor.as_secs_f64() / count),
            spread: Spread::of(times),
            resident: self.controller.resident(),
            peak: self.controller.peak(),
        }
    }

    fn once(&self, what: &str, time: Duration) -> Figure {
        Figure {
            processor: None,
            ..self.figure(what, vec![time], Duration::ZERO)
        }
    }
}

/// Everything, of one size.
pub(crate) fn all(
    shape: Shape,
    counts: Counts,
    program: &Program,
    mut tell: impl FnMut(Figure),
) -> io::Result<()> {
    let mut rig = Rig::start(shape, program)?;
    tell(rig.once("start", rig.controller.startup));
    let gathered = rig.controller.processor_time();
    tell(Figure {
        processor: Some(gathered.as_secs_f64()),
        ..rig.once("all agents there", rig.gathered)
    });
    let (mut staged, mut deployed) = (Vec::new(), Vec::new());
    let mut processor = Duration::ZERO;
    for _ in 0..counts.deployments {
        staged.push(rig.stage()?);
        let (time, used) = rig.deploy()?;
        deployed.push(time);
        processor += used;
    }
    tell(rig.figure("stage", staged, Duration::ZERO));
    tell(rig.figure("deploy", deployed, processor));
    for (what, ask) in asks(shape) {
        tell(rig.sequential(what, &ask, counts.requests)?);
    }
    let pipelined = format!("get-nodes, {} at once", counts.pipelined);
    tell(rig.pipelined(&pipelined, &Ask::Nodes, counts.pipelined)?);
    let one = Ask::IdValue([node_name(0, 0)].into());
    let pipelined = format!("get-id-value of one, {} at once", counts.pipelined);
    tell(rig.pipelined(&pipelined, &one, counts.pipelined)?);
    tell(idle(&rig, counts.idle));
    let (known, complete) = rig.restart_controller()?;
    let processor = rig.controller.processor_time();
    tell(rig.once("restart: all agents known", known));
    tell(Figure {
        processor: Some(processor.as_secs_f64()),
        ..rig.once("restart: all nodes listed", complete)
    });
    rig.controller.end()
}

fn asks(shape: Shape) -> [(&'static str, Ask); 7] {
    let last = node_name(shape.agents - 1, 0);
    [
        ("get-instances", Ask::Instances),
        ("get-config", Ask::Configuration),
        ("get-nodes", Ask::Nodes),
        ("get-id-value of one", Ask::IdValue([last.clone()].into())),
        ("get-id-value of all", Ask::IdValue([].into())),
        ("restart of one", Ask::Restart([last].into())),
        ("restart of all", Ask::Restart([].into())),
    ]
}

/// What the controller uses of one core while nobody wants anything.
fn idle(rig: &Rig, time: Duration) -> Figure {
    let before = rig.controller.processor_time();
    std::thread::park_timeout(time);
    let used = rig.controller.processor_time().saturating_sub(before);
    Figure {
        rate: None,
        processor: Some(used.as_secs_f64() / time.as_secs_f64()),
        ..rig.once("idle, processor time of a second", time)
    }
}

/// Requests that do not need the first agent, while that one behaves in each of these ways.
pub(crate) fn isolation(
    shape: Shape,
    counts: Counts,
    program: &Program,
    mut tell: impl FnMut(Figure),
) -> io::Result<()> {
    let mut rig = Rig::start(shape, program)?;
    rig.stage()?;
    rig.deploy()?;
    // Twice as usual: how far the same differs from itself.
    let usual = ("all as usual", First::AsAllOthers);
    let again = ("all as usual again", First::AsAllOthers);
    let late = ("one answers after 9.9 s", First::AnswersAfter(SLOW));
    let deaf = ("one reads nothing", First::ReadsNothing);
    // In turns, so that whatever else the machine does befalls all alike: each is once in each place,
    // and once after each other one. What comes last of four is up to a tenth slower than the first.
    let turns = [
        [usual, again, deaf, late],
        [again, late, usual, deaf],
        [late, deaf, again, usual],
        [deaf, usual, late, again],
    ];
    let elsewhere = node_name(shape.agents - 1, 0);
    let asks = [
        ("get-instances", Ask::Instances),
        ("get-config", Ask::Configuration),
        ("get-id-value", Ask::IdValue([elsewhere.clone()].into())),
        ("restart of one", Ask::Restart([elsewhere].into())),
    ];
    let mut taken: BTreeMap<(&str, &str), (Vec<Duration>, Duration)> = BTreeMap::new();
    for (turn, (way, first)) in turns.into_iter().flatten().enumerate() {
        rig.fleet.set_first(first);
        // There is always something that waits for it.
        let waiting = Waiting::start(rig.controller.websocket, OPEN, turn + 1)?;
        for (what, ask) in &asks {
            let (times, processor) = rig.timed(ask, counts.requests)?;
            let sum = taken.entry((what, way)).or_default();
            sum.0.extend(times);
            sum.1 += processor;
        }
        rig.fleet.set_first(First::AsAllOthers);
        waiting.end()?;
    }
    for ((what, way), (times, processor)) in taken {
        tell(rig.figure(&format!("{what}; {way}"), times, processor));
    }
    rig.controller.end()
}

/// The answers of several fleets in turns, so that their sizes are all that differs: a machine may be
/// half as fast an hour later.
pub(crate) fn growth(
    fleets: &[(Shape, Program)],
    counts: Counts,
    mut tell: impl FnMut(Figure),
) -> io::Result<()> {
    let rigs = fleets.iter().map(|(shape, program)| {
        let mut rig = Rig::start(*shape, program)?;
        rig.stage()?;
        rig.deploy()?;
        Ok((rig, Vec::new(), Duration::ZERO))
    });
    let mut rigs: Vec<_> = rigs.collect::<io::Result<_>>()?;
    for _ in 0..ROUNDS {
        for (rig, taken, processor) in &mut rigs {
            let (times, used) = rig.timed(&Ask::Nodes, counts.requests)?;
            taken.extend(times);
            *processor += used;
        }
    }
    for (mut rig, taken, processor) in rigs {
        tell(rig.figure("get-nodes", taken, processor));
        rig.controller.end()?;
    }
    Ok(())
}

/// How often each fleet has its turn.
const ROUNDS: usize = 5;

/// Just within the controller's request timeout.
const SLOW: Duration = Duration::from_millis(9900);

/// Requests that wait for the slow agent.
const OPEN: usize = 8;
