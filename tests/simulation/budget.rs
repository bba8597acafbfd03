//! A stock controller waits 9 s at least. Whatever the supervisor, the nodes and the network below
//! it do, our agent has answered by then: once, and with what is true (API §5, §15.2).

use std::collections::BTreeSet;
use std::slice;
use std::time::{Duration, Instant};

use broker_proto::zeek::FromData;
use mgmt::api::ApiResult;
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::model::{ClusterRole, Configuration, Instance, Node, NodeStatus, Role, State};

use crate::controller::Answer;
use crate::host::CONFIG_VARIABLE;
use crate::world::{AGENT, CONTROLLER, Hello, INSTANCE, Life, SUPERVISOR, World};

/// `BUDGET_SEEDS=10000` at compile time asks for more.
const SEEDS: u64 = 100;

/// Random steps of one seed.
const STEPS: usize = 30;

/// Longer than any node takes to stop.
const CALM: Duration = Duration::from_secs(60);

/// Most answers come at once.
const SLOW: Duration = Duration::from_secs(4);

/// From a node's end to an agent that knows of it: the way of a frame, and then some.
const SOON: Duration = Duration::from_millis(100);

const NODES: [(&str, ClusterRole); 6] = [
    ("manager", ClusterRole::Manager),
    ("logger-01", ClusterRole::Logger),
    ("proxy-01", ClusterRole::Proxy),
    ("worker-01", ClusterRole::Worker),
    ("worker-02", ClusterRole::Worker),
    ("worker-03", ClusterRole::Worker),
];

#[test]
fn a_stock_controller_hears_from_our_agent_within_its_patience() {
    let seeds = option_env!("BUDGET_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut totals = Totals::default();
    for seed in 1..=seeds {
        let mut run = Run::of(seed);
        run.calm_down();
        run.check(&mut totals);
    }
    // A run in which nothing goes wrong shows nothing.
    assert!(totals.deployments > seeds * 5, "{totals:?}");
    assert!(totals.came_up > seeds * 5, "{totals:?}");
    assert!(totals.failed > seeds, "{totals:?}");
    assert!(totals.listed > seeds, "{totals:?}");
    assert!(totals.slow > seeds, "{totals:?}");
    println!("{seeds} seeds: {totals:?}");
}

#[test]
fn the_same_seed_has_the_same_course() {
    let course = |seed| {
        let answers = Run::of(seed).world.controller(|it, _| it.answers.clone());
        let answers = answers
            .into_iter()
            .map(|it| (it.at - it.asked, it.response));
        answers.collect::<Vec<_>>()
    };
    assert_eq!(course(7), course(7));
    assert_ne!(course(7), course(8));
}

/// What happened in all runs.
#[derive(Debug, Default)]
struct Totals {
    answers: u64,
    deployments: u64,
    /// Results of deployments.
    came_up: u64,
    failed: u64,
    /// Nodes that were listed as running.
    listed: u64,
    /// Answers that took longer than `SLOW`.
    slow: u64,
}

struct Run {
    seed: u64,
    world: World,
    /// What was deployed last.
    config: Configuration,
    /// Numbers configurations.
    count: u64,
    /// When restarts were asked for, and of which nodes; of all if there are none.
    restarts: Vec<(Instant, BTreeSet<String>)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.pass(Duration::from_secs(3));
        Self {
            seed,
            world,
            config: Configuration {
                id: String::new(),
                instances: BTreeSet::new(),
                nodes: BTreeSet::new(),
            },
            count: 0,
            restarts: Vec::new(),
        }
    }

    /// After all steps.
    fn of(seed: u64) -> Self {
        let mut run = Self::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        run
    }

    /// Something is asked or goes wrong, and a while passes.
    fn step(&mut self) {
        match self.world.draw.below(18) {
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
            13 => {
                let time = self.world.draw.millis(100..12_000);
                self.world.stall(SUPERVISOR, time);
            }
            14 => {
                for node in self.world.nodes() {
                    let time = self.world.draw.millis(100..30_000);
                    self.world.stall(node, time);
                }
            }
            15 | 16 => {
                for node in self.world.nodes() {
                    if self.world.draw.below(3) == 0 {
                        self.world.crash(node);
                    }
                }
            }
            _ => {
                let other = [SUPERVISOR, CONTROLLER][usize::from(self.world.draw.below(2) == 0)];
                self.world.cut(AGENT, other);
            }
        }
        let pause = match self.world.draw.below(3) {
            0 => self.world.draw.millis(0..300),
            1 => self.world.draw.millis(300..3000),
            _ => self.world.draw.millis(3000..12_000),
        };
        self.world.pass(pause);
    }

    /// Nothing bad happens any more: what is asked for then comes to be, and nothing else is left.
    fn calm_down(&mut self) {
        self.world.host.is_calm = true;
        self.world.pass(CALM);
        let seed = self.seed;
        assert!(self.world.controller(|it, _| it.is_idle()), "seed {seed}");
        let calm = ["calm-1", "calm-2"];
        let nodes = calm.map(|name| Node::new(INSTANCE, name, ClusterRole::Worker));
        self.deploy(nodes.into());
        self.world.pass(CALM);
        self.ask(|reqid| AgentRequest::GetNodes { reqid });
        self.world.pass(Duration::from_secs(10));
        let answers = self.world.controller(|it, _| it.answers.clone());
        let [.., deployed, listed] = answers.as_slice() else {
            panic!("seed {seed}: {answers:?}");
        };
        let up = results(deployed).iter().filter(|result| result.success);
        let up = up.filter_map(|result| result.node.as_deref());
        assert_eq!(up.collect::<Vec<_>>(), calm, "seed {seed}: {deployed:?}");
        assert_eq!(running_in(listed), calm, "seed {seed}: {listed:?}");
        assert_eq!(self.world.running(), calm, "seed {seed}");
    }

    fn check(&mut self, totals: &mut Totals) {
        let seed = self.seed;
        let (answers, timeouts, strays) = self
            .world
            .controller(|it, _| (it.answers.clone(), it.timeouts.clone(), it.strays.clone()));
        assert_eq!(timeouts, [], "seed {seed}: no answer in time");
        assert_eq!(strays, [], "seed {seed}: answers that nobody waits for");
        let mut seen = BTreeSet::new();
        for answer in &answers {
            totals.answers += 1;
            totals.slow += u64::from(answer.at - answer.asked > SLOW);
            let named = results(answer).iter().filter_map(|it| it.node.as_deref());
            let named: Vec<&str> = named.collect();
            let names: BTreeSet<&str> = named.iter().copied().collect();
            assert_eq!(named.len(), names.len(), "seed {seed}: {answer:?}");
            if let AgentRequest::Deploy { config, .. } = &answer.request {
                totals.deployments += 1;
                let local = local(config);
                assert!(
                    names.is_empty() || names == local,
                    "seed {seed}: {answer:?}"
                );
                let is_first = seen.insert(config.id.clone());
                self.check_deployment(answer, &config.id, is_first, totals);
            }
            match &answer.request {
                AgentRequest::Restart { .. } => self.check_restart(answer),
                AgentRequest::GetNodes { .. } => self.check_running(answer, totals),
                AgentRequest::Deploy { .. }
                | AgentRequest::Welcome { .. }
                | AgentRequest::Standby { .. }
                | AgentRequest::NodeDispatch { .. } => {}
            }
        }
    }

    /// A node that came up has said hello by then, and one that did not has not, but for processes
    /// that were on their way out. Who has said hello for a configuration that is deployed again
    /// cannot be told from outside.
    fn check_deployment(&self, answer: &Answer, id: &str, is_first: bool, totals: &mut Totals) {
        let mut nodes = results(answer).iter().filter(|it| it.node.is_some());
        let are_all_up = nodes.clone().next().is_some() && nodes.all(|node| node.success);
        let is_success = results(answer).iter().all(|result| result.success);
        assert!(!are_all_up || is_success, "seed {}: {answer:?}", self.seed);
        for result in results(answer) {
            let Some(node) = &result.node else {
                continue;
            };
            let mut heard = self.hellos_between(answer, node);
            if result.success {
                totals.came_up += 1;
                assert!(heard.next().is_some(), "seed {}: {answer:?}", self.seed);
            } else {
                totals.failed += 1;
                let is_own = |config: &str| is_first && config == id;
                let heard = heard.filter(|hello| is_own(&hello.config) && hello.at < answer.at);
                let mut heard = heard.filter(|hello| !self.is_leaving(hello, answer.asked));
                assert_eq!(heard.next(), None, "seed {}: {answer:?}", self.seed);
            }
        }
    }

    /// Whether who said it, since then, had been ordered to restart, and ended of that.
    fn is_leaving(&self, hello: &Hello, since: Instant) -> bool {
        let Life { node, end, .. } = &self.world.lives[&hello.of];
        self.restarts.iter().any(|(at, nodes)| {
            let is_meant = nodes.is_empty() || nodes.contains(node);
            let is_over = end.is_some_and(|end| end <= *at + CALM);
            is_meant && (since..=hello.at).contains(at) && is_over
        })
    }

    /// A node that is restarted has said hello again by then (API §15.2 D39).
    fn check_restart(&self, answer: &Answer) {
        let restarted = results(answer).iter().filter(|result| result.success);
        for node in restarted.filter_map(|result| result.node.as_ref()) {
            let mut heard = self.hellos_between(answer, node);
            assert!(heard.next().is_some(), "seed {}: {answer:?}", self.seed);
        }
    }

    /// A node that is listed as running runs, or ended just now (API §15.2 D36).
    fn check_running(&self, answer: &Answer, totals: &mut Totals) {
        for node in running_in(answer) {
            totals.listed += 1;
            let mut lives = self.world.lives.values().filter(|life| life.node == node);
            let runs = lives.any(|life| {
                let end = life.end.map(|end| end + SOON);
                life.begin <= answer.at && end.is_none_or(|end| answer.at <= end)
            });
            assert!(runs, "seed {}: {node} is dead: {answer:?}", self.seed);
        }
    }

    /// The hellos of a node from a request to its answer.
    fn hellos_between<'a>(
        &'a self,
        answer: &'a Answer,
        node: &'a str,
    ) -> impl Iterator<Item = &'a Hello> {
        let hellos = self.world.hellos.iter();
        hellos
            .filter(move |hello| hello.node == node)
            .filter(move |hello| answer.asked <= hello.at && hello.at <= answer.at)
    }

    fn deploy_some(&mut self) {
        if self.world.draw.below(4) == 0 {
            return self.deploy_again();
        }
        let mut nodes = Vec::new();
        for (name, role) in NODES {
            let instance = match self.world.draw.below(4) {
                0 => "elsewhere",
                1 => continue,
                _ => INSTANCE,
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
            name: INSTANCE.to_owned(),
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
        self.world.controller(|it, now| it.ask(now, request));
    }

    /// All nodes, or some of them, with one that does not exist.
    fn some_names(&mut self) -> BTreeSet<String> {
        if self.world.draw.below(2) == 0 {
            return BTreeSet::new();
        }
        let names = NODES.iter().map(|(name, _)| *name).chain(["nobody"]);
        let some = names.filter(|_| self.world.draw.below(2) == 0);
        some.map(str::to_owned).collect()
    }
}

fn local(config: &Configuration) -> BTreeSet<&str> {
    let nodes = config.nodes.iter();
    let local = nodes.filter(|node| node.instance == INSTANCE);
    local.map(|node| node.name.as_str()).collect()
}

fn results(answer: &Answer) -> &[ApiResult] {
    match &answer.response {
        AgentResponse::Deploy { results, .. }
        | AgentResponse::NodeDispatch { results, .. }
        | AgentResponse::Restart { results, .. } => results,
        AgentResponse::GetNodes { result, .. }
        | AgentResponse::Welcome { result, .. }
        | AgentResponse::Standby { result, .. } => slice::from_ref(result),
        AgentResponse::Hello { .. }
        | AgentResponse::Change { .. }
        | AgentResponse::Error { .. }
        | AgentResponse::Log { .. } => &[],
    }
}

/// The cluster nodes that are listed as running.
fn running_in(answer: &Answer) -> Vec<String> {
    let [result] = results(answer) else {
        panic!("not one list: {answer:?}");
    };
    let rows = Vec::<NodeStatus>::from_data(result.data.clone().unwrap()).unwrap();
    let nodes = rows.into_iter().filter(|row| row.mgmt_role == Role::None);
    let running = nodes.filter(|row| row.state == State::Running);
    running.map(|row| row.node).collect()
}
