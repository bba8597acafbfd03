//! What the steps of a script do to a world, and what must be true when it is over.

use std::collections::BTreeSet;
use std::time::Duration;

use broker_proto::{Address, Port};
use mgmt::api::controller::ControllerRequest;
use mgmt::model::{ClusterRole, Configuration, Instance, Node};

use crate::model::Rule;
use crate::script::Step;
use crate::seen::{CONFIG_VARIABLE, Client};
use crate::world::net::Loss;
use crate::world::{Host, World};

/// Kinds of steps; the rest of a byte repeats them.
const KINDS: u8 = 39;

/// How long what was asked for may go on changing in calm.
const UNSETTLED: Duration = Duration::from_secs(300);

/// Within this time everybody has an answer, if not what was asked for.
const ANSWERED: Duration = Duration::from_secs(30);

/// More requests than one client may have open (API §16).
const BURST: usize = 300;

/// Most clients at a time.
const CLIENTS: usize = 6;

pub(crate) const NODES: [(&str, ClusterRole); 6] = [
    ("manager", ClusterRole::Manager),
    ("logger-01", ClusterRole::Logger),
    ("proxy-01", ClusterRole::Proxy),
    ("worker-01", ClusterRole::Worker),
    ("worker-02", ClusterRole::Worker),
    ("worker-03", ClusterRole::Worker),
];

/// A scenario under way.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) world: World,
    /// What was staged last.
    last: Option<Configuration>,
    /// Numbers configurations.
    count: u64,
}

impl Scenario {
    pub(crate) fn new(world: World) -> Self {
        let mut scenario = Self {
            world,
            last: None,
            count: 0,
        };
        scenario.world.connect_client();
        scenario.world.pass(Duration::from_secs(2));
        scenario
    }

    /// Something is asked or goes wrong, and a while passes.
    pub(crate) fn step(&mut self, step: Step) {
        self.world.tell(format_args!("--- {step:?}"));
        let Step { what, a, b, pause } = step;
        let kind = what % KINDS;
        match kind {
            0..=20 | 37 => self.ask_something(kind, a, b),
            21..=23 => self.trouble_clients(kind, a, b),
            24..=28 => self.trouble_network(kind, a, b),
            38 if b % 8 == 1 => self.ask_too_much(a, b),
            29..=36 | 38 => self.trouble_processes(kind, a, b),
            _ => {}
        }
        self.world.pass(pause);
    }

    fn ask_something(&mut self, kind: u8, a: u8, b: u8) {
        let Some(client) = self.client(a) else {
            return;
        };
        let reqid = String::new();
        match kind {
            0..5 => {
                self.stage(client, b);
                self.world.ask(client, ControllerRequest::Deploy { reqid });
            }
            5..7 => self.stage(client, b),
            7..9 => drop(self.world.ask(client, ControllerRequest::Deploy { reqid })),
            9..11 => drop(
                self.world
                    .ask(client, ControllerRequest::GetInstances { reqid }),
            ),
            11..13 => {
                let deployed = b.is_multiple_of(2);
                let request = ControllerRequest::GetConfiguration { reqid, deployed };
                self.world.ask(client, request);
            }
            13..16 => drop(
                self.world
                    .ask(client, ControllerRequest::GetNodes { reqid }),
            ),
            16..18 => {
                let (id, nodes) = ("bits_per_uid".to_owned(), some_names(b));
                let request = ControllerRequest::GetIdValue { reqid, id, nodes };
                self.world.ask(client, request);
            }
            18..20 => {
                let nodes = some_names(b);
                self.world
                    .ask(client, ControllerRequest::Restart { reqid, nodes });
            }
            20 => {
                let with_state = !b.is_multiple_of(4);
                let request = ControllerRequest::TestTimeout { reqid, with_state };
                self.world.ask(client, request);
            }
            // Several at once.
            _ => {
                for kind in [0, 13, 11, 16, 9, 7] {
                    self.ask_something(kind, a, b);
                }
            }
        }
    }

    /// Somebody asks more at a time than anybody may.
    fn ask_too_much(&mut self, a: u8, b: u8) {
        let Some(client) = self.client(a) else {
            return;
        };
        for _ in 0..BURST {
            let reqid = String::new();
            let request = match b.is_multiple_of(3) {
                true => ControllerRequest::GetNodes { reqid },
                false => ControllerRequest::TestTimeout {
                    reqid,
                    with_state: true,
                },
            };
            self.world.ask(client, request);
        }
    }

    fn trouble_clients(&mut self, kind: u8, a: u8, b: u8) {
        let here = self.world.present_clients();
        match kind {
            21 if here.len() < CLIENTS => drop(self.world.connect_client()),
            22 => {
                if let Some(client) = here.get(usize::from(a) % here.len().max(1)) {
                    self.world.disconnect_client(*client);
                }
            }
            _ => {
                if let Some(client) = self.client(a) {
                    let text = RUBBISH[usize::from(b) % RUBBISH.len()];
                    self.world.babble(client, text.to_owned());
                }
            }
        }
    }

    fn trouble_network(&mut self, kind: u8, a: u8, b: u8) {
        let host = self.sensor(a);
        let time = Duration::from_millis(u64::from(b) * 100);
        match kind {
            24 => self.world.block(host, Host::CONTROLLER, time),
            25 => self.world.block(Host::CONTROLLER, host, time),
            26 => {
                self.world.block(host, Host::CONTROLLER, time);
                self.world.block(Host::CONTROLLER, host, time);
            }
            27 if b.is_multiple_of(2) => self.world.reset(host, host),
            27 => self.world.reset(host, Host::CONTROLLER),
            _ => {
                let host = if b.is_multiple_of(2) {
                    host
                } else {
                    Host::CONTROLLER
                };
                self.world.clog(host, time / 2);
            }
        }
    }

    fn trouble_processes(&mut self, kind: u8, a: u8, b: u8) {
        let host = self.sensor(a);
        let time = Duration::from_millis(u64::from(b) * 60);
        let back_in = Some(time / 4);
        match kind {
            29 => {
                let sensor = self.world.sensor(host);
                let who = [sensor.agent, sensor.supervisor][usize::from(b % 2)];
                if let Some(who) = who {
                    self.world
                        .tell(format_args!("{who:?} on {host} stops for {time:?}"));
                    self.world.stall(who, time);
                }
            }
            30 => self.crash_nodes(host, b),
            31 => {
                for who in self.world.sensor(host).nodes() {
                    self.world.stall(who, time * 2);
                }
            }
            32 => self.world.kill_agent(host, Loss::Process, back_in),
            33 => self.world.kill_supervisor(host, Loss::Process, back_in),
            34 => self.world.kill_controller(Loss::Process, back_in),
            35 if b.is_multiple_of(4) => self.world.cut_power(Host::CONTROLLER, time),
            35 => self.world.cut_power(host, time),
            // Until nothing fails any more, which may be longer than anything else takes.
            38 if b.is_multiple_of(4) => self.world.kill_agent(host, Loss::Process, None),
            38 => {}
            _ => self.world.flood(host, usize::from(b)),
        }
    }

    /// The nodes of the bits that are set.
    fn crash_nodes(&mut self, host: Host, bits: u8) {
        let children = self.world.sensor(host).children().into_iter();
        for ((child, pid), n) in children.zip(0..8) {
            if bits & (1 << n) != 0 {
                self.world.on_death(host, child, pid);
            }
        }
    }

    fn sensor(&self, a: u8) -> Host {
        Host(1 + usize::from(a) % self.world.sensors.len())
    }

    /// One that is there, if the controller is.
    fn client(&mut self, a: u8) -> Option<Client> {
        let here = self.world.present_clients();
        match here.get(usize::from(a) % here.len().max(1)) {
            Some(client) => Some(*client),
            None => self.world.connect_client(),
        }
    }

    fn stage(&mut self, client: Client, b: u8) {
        let config = match &self.last {
            Some(last) if b.is_multiple_of(5) => last.clone(),
            Some(_) | None => self.configuration(b),
        };
        self.last = Some(config.clone());
        let reqid = String::new();
        let request = ControllerRequest::StageConfiguration { reqid, config };
        self.world.ask(client, request);
    }

    fn configuration(&mut self, b: u8) -> Configuration {
        let chance = &mut self.world.chance;
        let hosts = (1..=self.world.sensors.len()).filter(|_| !chance.is_one_in(4));
        let mut hosts: Vec<Host> = hosts.map(Host).collect();
        if hosts.is_empty() {
            hosts.push(Host(1));
        }
        let mut nodes = Vec::new();
        for (name, role) in NODES {
            if self.world.chance.is_one_in(3) {
                continue;
            }
            let index = self.world.chance.below(u64::try_from(hosts.len()).unwrap());
            let host = hosts[usize::try_from(index).unwrap()];
            nodes.push(Node::new(host.instance(), name, role));
        }
        // Nobody runs there.
        if b % 16 == 7 {
            nodes.push(Node::new("nowhere", "worker-09", ClusterRole::Worker));
        }
        self.of(&hosts, nodes, b % 8 == 3)
    }

    /// Of these hosts and nodes, which are told which configuration they are of.
    fn of(&mut self, hosts: &[Host], mut nodes: Vec<Node>, is_nameless: bool) -> Configuration {
        self.count += 1;
        for node in &mut nodes {
            let value = format!("c{}", self.count);
            node.env.insert(CONFIG_VARIABLE.to_owned(), value);
        }
        let instances = hosts.iter().map(|host| {
            let dials = self.world.header.sensors[host.0 - 1].dials;
            let address = Address::from(host.ip(Host::CONTROLLER));
            Instance {
                name: host.instance(),
                host: if dials { Address::UNSPECIFIED } else { address },
                listen_port: (!dials).then(|| Port::tcp(2151)),
            }
        });
        Configuration {
            id: match is_nameless {
                true => String::new(),
                false => format!("config-{}", self.count),
            },
            instances: instances.collect(),
            nodes: nodes.into_iter().collect(),
        }
    }

    /// Deploys a node to every host, of another configuration each time.
    pub(crate) fn deploy_one_each(&mut self) {
        let hosts: Vec<Host> = self.world.sensor_hosts().collect();
        self.deploy_one_to(&hosts);
    }

    /// Deploys a node to each of these hosts, and to no others.
    pub(crate) fn deploy_one_to(&mut self, hosts: &[Host]) {
        let nodes = hosts.iter().map(|host| {
            let name = format!("node-{}", host.0);
            Node::new(host.instance(), name, ClusterRole::Worker)
        });
        let config = self.of(hosts, nodes.collect(), false);
        let reqid = String::new();
        self.ask_first(ControllerRequest::StageConfiguration { reqid, config });
        let reqid = String::new();
        self.ask_first(ControllerRequest::Deploy { reqid });
    }

    /// Somebody asks.
    pub(crate) fn ask_first(&mut self, request: ControllerRequest) {
        if let Some(client) = self.client(0) {
            self.world.ask(client, request);
        }
    }

    /// Faults stop; what is wanted comes to be, and nothing else is left.
    pub(crate) fn finish(&mut self) {
        self.world.calm_down();
        self.settle();
        self.check_stock();
        let Some(client) = self.client(0) else {
            return self.world.violate("there is no controller".to_owned());
        };
        self.world.pass(Duration::from_secs(1));
        let hosts: Vec<Host> = self.world.sensor_hosts().collect();
        let nodes = hosts.iter().zip(NODES);
        let nodes = nodes.map(|(host, (name, role))| Node::new(host.instance(), name, role));
        let config = self.of(&hosts, nodes.collect(), false);
        let reqid = String::new();
        let request = ControllerRequest::StageConfiguration { reqid, config };
        self.world.ask(client, request);
        let reqid = String::new();
        let deployed = self.world.ask(client, ControllerRequest::Deploy { reqid });
        self.settle();
        let reqid = String::new();
        let listed = self
            .world
            .ask(client, ControllerRequest::GetInstances { reqid });
        self.ask_about_nodes(client);
        self.world.pass(Duration::from_secs(10));
        self.check_idle();
        self.check_running();
        self.check_instances(&listed);
        let (reqid, nodes) = (String::new(), BTreeSet::new());
        self.world
            .ask(client, ControllerRequest::Restart { reqid, nodes });
        self.settle();
        self.check_running();
        let answer = self.world.clients.answers.get(&deployed);
        let results = answer.map(|it| it.results()).unwrap_or_default();
        if results.is_empty() || !results.iter().all(|result| result.success) {
            let what = format!("in calm, this is the answer to {deployed}: {answer:?}");
            self.world.violate(what);
        }
    }

    /// Whoever asks now is told of every node; the model sees to that.
    fn ask_about_nodes(&mut self, client: Client) {
        let (id, nodes) = ("bits_per_uid".to_owned(), BTreeSet::new());
        let (deployed, reqid) = (true, String::new);
        for request in [
            ControllerRequest::GetNodes { reqid: reqid() },
            ControllerRequest::GetIdValue {
                reqid: reqid(),
                id,
                nodes,
            },
            ControllerRequest::GetConfiguration {
                reqid: reqid(),
                deployed,
            },
        ] {
            self.world.ask(client, request);
        }
    }

    /// Time passes until all that was asked for is there.
    fn settle(&mut self) {
        let until = self.world.since_start() + UNSETTLED;
        self.world.pass(ANSWERED);
        while self.world.record.violation.is_none() {
            let now = self.world.since_start();
            match self.world.record.settles() {
                Some(settled) if settled <= now => break,
                Some(settled) if settled <= until => self.world.pass(settled - now),
                Some(_) | None => {
                    let what = format!("in calm, this never settles: {UNSETTLED:?} are over");
                    return self.world.violate(what);
                }
            }
        }
        self.check_idle();
        let at = self.world.since_start();
        let excused = self.world.excused.keys();
        let excused: BTreeSet<String> = excused.map(|host| host.instance()).collect();
        self.world.record.end(at, &excused);
    }

    pub(crate) fn check_idle(&mut self) {
        let open = self.world.unanswered();
        if !open.is_empty() {
            let what = format!("in calm, {open:?} have no answer");
            self.world.violate(what);
        }
        if let Some(excess) = self.world.excess() {
            self.world.violate(format!("in calm, {excess}"));
        }
        self.world.check_links();
    }

    /// What is deployed runs, and nothing else.
    pub(crate) fn check_running(&mut self) {
        for host in self.world.sensor_hosts() {
            self.check_nodes(host);
        }
    }

    /// Stock's agents have what is deployed, too, whatever they have overheard. Of the others the
    /// model says that.
    fn check_stock(&mut self) {
        for host in self.world.sensor_hosts() {
            let is_stock = self.world.header.sensors[host.0 - 1].is_stock;
            if is_stock && !self.world.excused.contains_key(&host) {
                self.check_nodes(host);
            }
        }
    }

    fn check_nodes(&mut self, host: Host) {
        let deployed = self.world.disk.stored.deployed.as_ref();
        let nodes = deployed.map(|config| &config.nodes).into_iter().flatten();
        let own = nodes.filter(|node| node.instance == host.instance());
        let wanted: Vec<_> = own
            .map(|node| (node.name.clone(), node.env[CONFIG_VARIABLE].clone()))
            .collect();
        let living = self.world.living(host);
        if living != wanted {
            let text = format!("{host} runs {living:?} and not {wanted:?}");
            self.world.object(Rule::NotSettled, text);
        }
    }

    fn check_instances(&mut self, reqid: &str) {
        let answer = self.world.clients.answers.get(reqid);
        let data = answer.and_then(|answer| answer.results().first()?.data.clone());
        let listed = data.and_then(|data| data.read::<Vec<Instance>>().ok());
        let listed: BTreeSet<String> = listed.into_iter().flatten().map(|it| it.name).collect();
        let hosts = self.world.sensor_hosts();
        if hosts.map(Host::instance).collect::<BTreeSet<_>>() != listed {
            let what = format!("in calm, the instances are {listed:?}");
            self.world.violate(what);
        }
    }
}

/// What clients send that do not know better.
const RUBBISH: [&str; 6] = [
    "",
    "{}",
    "[\"zeek/management/controller\"]",
    "{\"type\":\"data-message\",\"topic\":\"zeek/management/agent/x\",\"@data-type\":\"count\",\"data\":1}",
    "{\"type\":\"data-message\",\"topic\":\"zeek/management/controller\",\"@data-type\":\"count\",\"data\":1}",
    "\u{0}\u{ffff}[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// All nodes, or some of them, perhaps with one that does not exist.
pub(crate) fn some_names(bits: u8) -> BTreeSet<String> {
    let names = NODES.iter().map(|(name, _)| *name).chain(["nobody"]);
    let some = names.zip(0..).filter(|(_, n)| bits & (1 << n) != 0);
    some.map(|(name, _)| name.to_owned()).collect()
}
