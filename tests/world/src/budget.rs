//! Our agent on our supervisor, below a controller that behaves and waits as stock's.

mod promises;

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::model::{ClusterRole, Configuration, Instance, Node};

use crate::chance::Chance;
use crate::record::Telling;
use crate::scenario::{NODES, some_names};
use crate::script::{Chances, Header, Maker, SensorPlan};
use crate::seen::CONFIG_VARIABLE;
use crate::world::{Host, World};

/// Random steps of one seed.
const STEPS: usize = 30;

/// Longer than any node takes to stop.
const CALM: Duration = Duration::from_secs(60);

const SENSOR: Host = Host(1);

/// What came of a life below a stock controller.
#[derive(Debug)]
pub struct Budget {
    /// The answers, and how long each took.
    pub answers: Vec<(Duration, AgentResponse)>,
    /// What they were about.
    pub totals: Counts,
    /// All that happened, a line each, if that is wanted.
    pub text: Option<String>,
    /// What was wrong first.
    pub violation: Option<String>,
    /// How long it took in the world.
    pub simulated: Duration,
}

/// What happened how often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Requests that were answered.
    pub answers: u64,
    /// Deployments among them.
    pub deployments: u64,
    /// Nodes that a deployment says are up.
    pub came_up: u64,
    /// Nodes that a deployment says are not.
    pub failed: u64,
    /// Nodes that were listed as running.
    pub listed: u64,
    /// Answers that took longer than 4 s; most come at once.
    pub slow: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.answers += more.answers;
        self.deployments += more.deployments;
        self.came_up += more.came_up;
        self.failed += more.failed;
        self.listed += more.listed;
        self.slow += more.slow;
    }
}

/// Lets a stock controller deploy, restart, ask and retract, while supervisor, nodes, system and
/// network fail as a seed decides. Whatever they do, its agent answers everything in time, once, and
/// with what is true; and all is well when they fail no more.
pub fn budget(seed: u64, telling: Telling) -> Budget {
    let mut run = Run::new(seed, telling);
    for _ in 0..STEPS {
        run.step();
    }
    let calm = run.calm_down();
    let mut totals = Counts::default();
    let judged = calm.and_then(|()| run.judge(&mut totals));
    let violation = run.world.record.violation.take();
    let violation = violation.or_else(|| judged.err());
    let answers = run.world.stock_controller(|it, _| it.answers.clone());
    let answers = answers
        .into_iter()
        .map(|it| (it.at - it.asked, it.response));
    Budget {
        answers: answers.collect(),
        totals,
        simulated: run.world.since_start(),
        text: run.world.record.text,
        violation,
    }
}

#[derive(Debug)]
struct Run {
    world: World,
    chance: Chance,
    /// What was deployed last.
    config: Configuration,
    /// Numbers configurations.
    count: u64,
    /// When restarts were asked for, and of which nodes; of all if there are none.
    restarts: Vec<(Instant, BTreeSet<String>)>,
    /// From when to when the supervisor was stopped.
    deaf: Vec<(Instant, Instant)>,
}

impl Run {
    fn new(seed: u64, telling: Telling) -> Self {
        let mut chance = Chance::new(seed);
        let sensor = SensorPlan {
            dials: true,
            remembers: false,
            is_stock: false,
            supervisor: Maker::Ours,
        };
        let header = Header {
            sensors: vec![sensor],
            chances: Chances {
                network: true,
                disk: false,
                nodes: true,
                system: true,
            },
            seed: chance.next(),
            controller: Maker::Stock,
        };
        let mut world = World::new(header, telling);
        world.pass(Duration::from_secs(3));
        Self {
            world,
            chance,
            config: Configuration {
                id: String::new(),
                instances: BTreeSet::new(),
                nodes: BTreeSet::new(),
            },
            count: 0,
            restarts: Vec::new(),
            deaf: Vec::new(),
        }
    }

    /// Something is asked or goes wrong, and a while passes.
    fn step(&mut self) {
        match self.chance.below(18) {
            0..4 => self.deploy_some(),
            4..7 => self.ask(|reqid| AgentRequest::GetNodes { reqid }),
            7..10 => {
                let nodes = self.some_names();
                let action = vec!["get_id_value".to_owned(), "bits_per_uid".to_owned()];
                self.ask(|reqid| AgentRequest::NodeDispatch {
                    reqid,
                    action,
                    nodes,
                });
            }
            10..12 => {
                let nodes = self.some_names();
                self.restarts.push((self.world.now, nodes.clone()));
                self.ask(|reqid| AgentRequest::Restart { reqid, nodes });
            }
            12 => self.ask(|reqid| AgentRequest::Standby { reqid }),
            other => self.trouble(other),
        }
        let pause = match self.chance.below(3) {
            0 => self.chance.millis(0..300),
            1 => self.chance.millis(300..3000),
            _ => self.chance.millis(3000..12_000),
        };
        self.world.pass(pause);
    }

    fn trouble(&mut self, kind: u64) {
        let sensor = self.world.sensor(SENSOR);
        let (agent, supervisor) = (sensor.agent.unwrap(), sensor.supervisor.unwrap());
        match kind {
            13 => {
                let time = self.chance.millis(100..12_000);
                self.world
                    .tell(format_args!("the supervisor stops for {time:?}"));
                self.deaf.push((self.world.now, self.world.now + time));
                self.world.stall(supervisor, time);
            }
            14 => {
                for node in self.world.sensor(SENSOR).nodes() {
                    let time = self.chance.millis(100..30_000);
                    self.world.tell(format_args!("{node:?} stops for {time:?}"));
                    self.world.stall(node, time);
                }
            }
            15 | 16 => {
                for (child, pid) in self.world.sensor(SENSOR).children() {
                    if self.chance.is_one_in(3) {
                        self.world.on_death(SENSOR, child, pid);
                    }
                }
            }
            _ => {
                let controller = self.world.controller.unwrap();
                let others = [supervisor, controller];
                let other = others[usize::from(self.chance.is_one_in(2))];
                self.world.cut(agent, other);
            }
        }
    }

    fn deploy_some(&mut self) {
        if self.chance.is_one_in(4) {
            return self.deploy_again();
        }
        let mut nodes = Vec::new();
        for (name, role) in NODES {
            let instance = match self.chance.below(4) {
                0 => "elsewhere".to_owned(),
                1 => continue,
                _ => SENSOR.instance(),
            };
            nodes.push(Node::new(instance, name, role));
        }
        self.deploy(nodes);
    }

    /// Nodes are told which configuration they are of, so that their hellos can be told apart.
    fn deploy(&mut self, mut nodes: Vec<Node>) {
        self.count += 1;
        let id = format!("config-{}", self.count);
        for node in &mut nodes {
            node.env.insert(CONFIG_VARIABLE.to_owned(), id.clone());
        }
        let instance = Instance {
            name: SENSOR.instance(),
            host: "127.0.0.1".parse().unwrap(),
            listen_port: None,
        };
        self.config = Configuration {
            id,
            instances: [instance].into(),
            nodes: nodes.into_iter().collect(),
        };
        self.deploy_again();
    }

    fn deploy_again(&mut self) {
        let config = self.config.clone();
        let force = false;
        self.ask(|reqid| AgentRequest::Deploy {
            reqid,
            config,
            force,
        });
    }

    fn ask(&mut self, request: impl FnOnce(String) -> AgentRequest) {
        self.world.stock_controller(|it, now| it.ask(now, request));
    }

    /// All nodes, or some of them, perhaps with one that does not exist.
    fn some_names(&mut self) -> BTreeSet<String> {
        match self.chance.is_one_in(2) {
            true => BTreeSet::new(),
            false => some_names(u8::try_from(self.chance.below(128)).unwrap()),
        }
    }

    /// Nothing bad happens any more: what is asked for then comes to be, and nothing else is left.
    fn calm_down(&mut self) -> Result<(), String> {
        self.world.calm_down();
        self.world.pass(CALM);
        if !self.world.stock_controller(|it, _| it.is_idle()) {
            return Err("in calm, the controller still waits".to_owned());
        }
        let names = ["calm-1", "calm-2"];
        let nodes = names.map(|name| Node::new(SENSOR.instance(), name, ClusterRole::Worker));
        self.deploy(nodes.into());
        self.world.pass(CALM);
        self.ask(|reqid| AgentRequest::GetNodes { reqid });
        self.world.pass(Duration::from_secs(10));
        self.check_calm(names)
    }
}
