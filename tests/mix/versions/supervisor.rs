//! Our supervisor below agents of every release.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker_proto::data::Table;
use broker_proto::{Address, Data, IdGen, Port, peering};
use serde_json::Value;
use supervisor::host::{ChildId, Ending, Group, HostInput, HostOutput, Signal, Stream, Target};
use supervisor::process::{Input, Output, SupervisorProcess};
use supervisor::settings::Policy;

use super::{for_each_release, say_everything};
use crate::stock::release::{NullPort, RELEASES, Release};
use crate::stock::{Act, items, text};
use crate::world::{Ours, World, own_id, settings};

/// Longer than anything takes while all goes well.
const SOON: Duration = Duration::from_secs(4);

#[test]
fn an_agent_creates_lists_restarts_and_destroys_nodes_in_its_own_layout() {
    for_each_release(|release| {
        // Once as originator, once as responder (WIRE §4.2).
        for id in [0, 0xff] {
            let mut world = world(id);
            let agent = world.agent(release, None);
            world.dial(agent);
            world.pass(SOON);
            whole_life(&mut world, agent);
        }
    });
}

#[test]
fn an_agent_of_another_release_in_the_place_of_the_first_is_answered_in_its_own_layout() {
    for first in [RELEASES[0], RELEASES[2], RELEASES[8]] {
        for_each_release(|release| {
            let mut world = world(0x80);
            let former = world.agent(first, None);
            world.dial(former);
            world.pass(SOON);
            whole_life(&mut world, former);
            world.leave(former);
            let agent = world.agent(release, None);
            world.dial(agent);
            world.pass(SOON);
            whole_life(&mut world, agent);
        });
    }
}

#[test]
fn what_stock_endpoints_say_beside_events_is_answered_or_ignored() {
    for_each_release(|release| {
        let mut world = world(0x80);
        let agent = world.agent(release, None);
        world.dial(agent);
        say_everything(release, &mut world, agent);
        whole_life(&mut world, agent);
    });
}

fn whole_life(world: &mut World<OurSupervisor>, agent: usize) {
    let release = world.seats[agent].peer.release;
    let heard = |world: &mut World<OurSupervisor>, name: &str| -> Vec<Vec<Data>> {
        let heard = world.seats[agent].heard(name);
        let heard = heard.into_iter().map(<[Data]>::to_vec).collect();
        world.seats[agent].heard.clear();
        heard
    };
    for name in ["manager", "worker"] {
        let act = ask("create_request", name, config(release, name));
        world.act(agent, vec![act]);
        world.pass(SOON);
        let started = world.seats[agent]
            .heard("SupervisorControl::node_status")
            .len();
        assert_eq!(started, 1, "{name} is started, Zeek {}", release.name);
        let answers = heard(world, "create_response");
        assert_eq!(answers, [[Data::string(name), Data::string("")]]);
    }
    // What the stems of this release insist on is there (API §10.3).
    for name in ["manager", "worker"] {
        let told = &world.ours.told[name];
        for member in release.stem_members {
            assert!(
                told.get(member).is_some(),
                "{member} for Zeek {}",
                release.name
            );
        }
        // A stem of another release than the agent's may have this list only.
        for list in ["addl_user_scripts"]
            .iter()
            .chain(&release.stem_members[..1])
        {
            if *list != "addl_base_scripts" {
                let want = serde_json::json!(["site/node"]);
                assert_eq!(told[list], want, "{list} for Zeek {}", release.name);
            }
        }
    }

    world.act(agent, vec![ask("status_request", "s", Data::string(""))]);
    world.pass(SOON);
    let answers = heard(world, "status_response");
    let [answer] = answers.as_slice() else {
        panic!("not one status");
    };
    check_status(release, &answer[1]);

    let worker = || Data::string("worker");
    world.ours.print("worker", "[worker] last words");
    world.act(agent, vec![ask("restart_request", "r", worker())]);
    world.pass(SOON);
    assert_eq!(world.seats[agent].heard("restart_response").len(), 1);
    let exits = world.seats[agent].heard("notify_node_exit");
    let [[node, outputs]] = exits.as_slice() else {
        panic!("not one exit: {exits:?}");
    };
    assert_eq!(*node, worker());
    assert_eq!(items(outputs)[1], Data::string("last words"));
    let restarted = heard(world, "SupervisorControl::node_status");
    assert_eq!(restarted.len(), 1, "it is told once");

    for name in ["manager", "worker"] {
        world.act(
            agent,
            vec![ask("destroy_request", name, Data::string(name))],
        );
        world.pass(SOON);
        let answers = heard(world, "destroy_response");
        assert_eq!(answers, [[Data::string(name), Data::Boolean(true)]]);
    }
    assert_eq!(world.seats[agent].losses, 0);
}

/// As stock has it: the number of fields, and ports that are none (API §1.5).
fn check_status(release: &Release, status: &Data) {
    let [Data::Table(nodes)] = items(status) else {
        panic!("no status: {status:?}");
    };
    let names: Vec<_> = nodes.keys().map(text).collect();
    assert_eq!(names, ["manager", "worker"]);
    let null = match release.null_port {
        NullPort::Tcp => Port::tcp(0),
        NullPort::Unknown => Port::NONE,
    };
    for (name, status) in nodes {
        let config = items(&items(status)[0]);
        assert_eq!(
            config.len(),
            release.node_config.len(),
            "Zeek {}",
            release.name
        );
        let mut wanted = items(&config_fields(release, text(name))).to_vec();
        let Some(Data::Table(cluster)) = wanted.pop() else {
            panic!("the last field is the cluster");
        };
        assert_eq!(config[..config.len() - 1], wanted, "Zeek {}", release.name);
        let Some(Data::Table(listed)) = config.last() else {
            panic!("the last field is the cluster");
        };
        assert_eq!(listed.len(), cluster.len());
        for (member, endpoint) in &cluster {
            let mut endpoint = items(endpoint).to_vec();
            if text(member) == "worker" {
                endpoint[2] = Data::Port(null);
            }
            assert_eq!(items(listed.get(member).unwrap()), endpoint);
        }
        assert!(matches!(items(status)[1], Data::Integer(_)));
    }
}

fn ask(request: &str, reqid: &str, about: Data) -> Act {
    let args = vec![Data::string(reqid), about];
    Act::say(
        "zeek/supervisor",
        format!("SupervisorControl::{request}"),
        args,
    )
}

fn config(release: &Release, name: &str) -> Data {
    config_fields(release, name)
}

/// As an agent of this release orders a node (API §5.4 A11).
fn config_fields(release: &Release, name: &str) -> Data {
    let scripts = if release.node_config.contains(&"addl_user_scripts") {
        "addl_user_scripts"
    } else {
        "scripts"
    };
    let fields = release.node_config.iter().map(|field| match *field {
        "name" => Data::string(name),
        "directory" => Data::string(format!("/state/nodes/{name}")),
        list if list == scripts => Data::Vector(vec![Data::string("site/node")]),
        "addl_base_scripts" | "addl_user_scripts" | "scripts" => Data::Vector(vec![]),
        "env" => Data::Table(Table::from([(Data::string("A"), Data::string("b"))])),
        "cluster" => cluster(release),
        _ => Data::None,
    });
    Data::Vector(fields.collect())
}

fn cluster(release: &Release) -> Data {
    let members = [
        ("manager", "MANAGER", Port::tcp(2200)),
        ("worker", "WORKER", Port::NONE),
    ];
    let members = members.map(|(name, role, port)| {
        let fields = release.endpoint.iter().map(|field| match *field {
            "role" => Data::enum_value(format!("Supervisor::{role}")),
            "host" => Data::Address(Address::from(std::net::Ipv4Addr::LOCALHOST)),
            "p" => Data::Port(port),
            "metrics_port" => Data::Port(Port::tcp(9000)),
            _ => Data::None,
        });
        (Data::string(name), Data::Vector(fields.collect()))
    });
    Data::Table(Table::from(members))
}

/// Our supervisor, and an operating system in which every order succeeds at once.
struct OurSupervisor {
    process: SupervisorProcess,
    /// What stems were told to create, by node.
    told: BTreeMap<String, Value>,
    children: BTreeMap<String, ChildId>,
    last_pid: u32,
    pids: BTreeMap<ChildId, u32>,
    news: Vec<HostInput>,
}

fn world(first_byte: u8) -> World<OurSupervisor> {
    let now = Instant::now();
    let settings = supervisor::settings::Settings {
        listen: Some(settings(&[]).agent.supervisor),
        zeek: "zeek".into(),
        args: Vec::new(),
        own: Vec::new(),
        policy: Policy::default(),
    };
    let process = SupervisorProcess::new(settings, own_id(first_byte), IdGen::new(1), now);
    let ours = OurSupervisor {
        process,
        told: BTreeMap::new(),
        children: BTreeMap::new(),
        last_pid: 1000,
        pids: BTreeMap::new(),
        news: Vec::new(),
    };
    World::new(ours, now)
}

impl OurSupervisor {
    fn print(&mut self, node: &str, line: &str) {
        self.news.push(HostInput::Printed {
            child: self.children[node],
            stream: Stream::Stderr,
            chunk: format!("{line}\n").into(),
        });
    }

    fn obey(&mut self, order: HostOutput) {
        let news = match order {
            HostOutput::MakeDirectory { .. } => HostInput::DirectoryMade { result: Ok(()) },
            HostOutput::Spawn { child, .. } => {
                let pid = self.pid();
                self.pids.insert(child, pid);
                HostInput::Spawned { child, pid }
            }
            HostOutput::Tell { child, message } => {
                let text = std::str::from_utf8(&message)
                    .unwrap()
                    .trim_end_matches('\0');
                let order = text.strip_prefix("create ").unwrap();
                let (name, json) = order.split_once(' ').unwrap();
                self.told
                    .insert(name.to_owned(), serde_json::from_str(json).unwrap());
                self.children.insert(name.to_owned(), child);
                let chunk = format!("status {name} {}\0", self.pid()).into();
                HostInput::Message { child, chunk }
            }
            HostOutput::Signal {
                child,
                target: Target::Process,
                signal: Signal::Term,
                pid,
            } => HostInput::Exited {
                child,
                pid,
                ending: Ending::Status(0),
                group: Group::Empty,
            },
            HostOutput::Signal { .. }
            | HostOutput::OpenFiles { .. }
            | HostOutput::WriteLine { .. }
            | HostOutput::CloseFiles { .. } => return,
        };
        self.news.push(news);
    }

    fn pid(&mut self) -> u32 {
        self.last_pid += 1;
        self.last_pid
    }
}

impl Ours for OurSupervisor {
    fn broker(&mut self, now: Instant, input: peering::Input) {
        self.process.handle(now, Input::Peering { input });
    }

    fn timeout(&mut self, now: Instant) {
        self.process.handle_timeout(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.process.poll_timeout()
    }

    fn poll(&mut self, now: Instant) -> Option<peering::Output> {
        loop {
            for input in std::mem::take(&mut self.news) {
                self.process.handle(now, Input::Host { input });
            }
            match self.process.poll_output() {
                Some(Output::Peering { output }) => return Some(output),
                Some(Output::Host { output }) => self.obey(output),
                Some(
                    Output::Answer { .. }
                    | Output::AnswerLives { .. }
                    | Output::Unanswered { .. }
                    | Output::Stopped,
                ) => {}
                None if self.news.is_empty() => return None,
                None => {}
            }
        }
    }
}
