//! Our agent between controllers and supervisors of every release.

use std::time::{Duration, Instant};

use broker_proto::{Data, IdGen, Port, peering};
use mgmt::agent::process::{AgentProcess, Output};

use super::{for_each_release, say_everything};
use crate::stock::release::{Backend, Hello, Metrics, RELEASES, Release};
use crate::stock::{Outcome, items, text};
use crate::world::{INSTANCE, Ours, World, own_id, settings};

const CONTROLLER: u16 = 2150;
const SUPERVISOR: u16 = 9999;

const NODES: [(&str, &str, &str); 3] = [
    ("manager", "MANAGER", INSTANCE),
    ("worker", "WORKER", INSTANCE),
    ("far", "WORKER", "instance-2"),
];

/// Longer than anything takes while all goes well.
const SOON: Duration = Duration::from_secs(4);

/// The script by which a node finds its agent (API §5.4 A11).
const NODE_SCRIPT: &str = "policy/frameworks/management/node";

#[test]
fn a_whole_cluster_lives_between_any_controller_and_any_supervisor() {
    for controller in RELEASES {
        for supervisor in RELEASES {
            let (above, below) = (controller.name, supervisor.name);
            eprintln!("controller {above}, supervisor {below}");
            let mut cast = Cast::dialing(controller, supervisor);
            cast.live(0x80);
        }
    }
}

#[test]
fn a_controller_that_dials_the_agent_is_served_likewise() {
    for_each_release(|release| {
        // Once as originator, once as responder (WIRE §4.2).
        for id in [0, 0xff] {
            let mut cast = Cast::dialed(release, release, id);
            cast.live(id);
        }
    });
}

#[test]
fn a_supervisor_that_was_away_is_served_again_also_if_it_is_of_another_release() {
    for_each_release(|release| {
        for successor in [RELEASES[0], RELEASES[8]] {
            let mut cast = Cast::dialing(release, release);
            cast.deploy("c1");
            cast.world.end(cast.supervisor);
            cast.supervisor = cast.world.supervisor(successor, SUPERVISOR);
            cast.world.pass(SOON);
            let ordered = cast.ordered();
            assert_eq!(ordered, ["manager", "worker"], "{} anew", successor.name);
            cast.check_orders();
        }
    });
}

#[test]
fn a_supervisor_that_only_listens_fails_a_deployment_with_what_it_has_to_load() {
    let deaf = RELEASES
        .iter()
        .filter(|it| it.backend == Backend::ToBeChosen);
    for release in deaf {
        let mut cast = Cast::above_the_deaf(release);
        let seat = &mut cast.world.seats[cast.controller];
        let acts = seat.controller().deploy("c1", &NODES);
        cast.world.act(cast.controller, acts);
        cast.world.pass(Duration::from_secs(10));
        let answers = &cast.world.seats[cast.controller].controller().answers;
        let errors = answers["deploy"]
            .iter()
            .map(|it| it.error.as_deref().unwrap());
        let errors: Vec<_> = errors.collect();
        assert_eq!(errors.len(), 2, "Zeek {}: {errors:?}", release.name);
        assert!(errors[1].ends_with("policy/frameworks/cluster/backend/broker"));
    }
}

#[test]
fn what_stock_endpoints_say_beside_events_is_answered_or_ignored() {
    for_each_release(|release| {
        let mut cast = Cast::dialing(release, release);
        for seat in [cast.controller, cast.supervisor] {
            say_everything(release, &mut cast.world, seat);
        }
        cast.deploy("c1");
    });
}

#[test]
fn controller_and_supervisor_that_leave_in_their_way_are_dialed_again() {
    for_each_release(|release| {
        let mut cast = Cast::dialing(release, release);
        for seat in [cast.controller, cast.supervisor] {
            cast.world.leave(seat);
            cast.world.pass(SOON);
            assert!(cast.world.seats[seat].peer.is_up(), "Zeek {}", release.name);
        }
        cast.deploy("c1");
    });
}

#[test]
fn a_node_that_dies_and_comes_back_is_running_again() {
    for_each_release(|release| {
        let mut cast = Cast::dialing(release, release);
        cast.deploy("c1");
        let supervisor = cast.supervisor;
        let acts = cast.world.seats[supervisor].supervisor().revive("worker");
        cast.world.act(supervisor, acts);
        cast.world.pass(SOON);
        let states = cast
            .rows()
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone()));
        let running = Data::enum_value("Management::RUNNING");
        for (node, state) in states {
            assert_eq!(state, running, "{node:?} of Zeek {}", release.name);
        }
    });
}

/// Our agent, and everybody around it.
struct Cast {
    world: World<OurAgent>,
    controller: usize,
    supervisor: usize,
}

impl Cast {
    /// The agent dials the controller.
    fn dialing(controller: &'static Release, supervisor: &'static Release) -> Self {
        let mut world = world(0x80, &[]);
        let supervisor = world.supervisor(supervisor, SUPERVISOR);
        let controller = world.controller(controller, Some(CONTROLLER));
        world.pass(SOON);
        Self {
            world,
            controller,
            supervisor,
        }
    }

    /// The supervisor has no cluster backend, so that it subscribes to nothing.
    fn above_the_deaf(release: &'static Release) -> Self {
        let mut world = world(0x80, &[]);
        let supervisor = world.supervisor(release, SUPERVISOR);
        world.seats[supervisor].peer.filter.clear();
        let controller = world.controller(release, Some(CONTROLLER));
        world.pass(SOON);
        Self {
            world,
            controller,
            supervisor,
        }
    }

    /// The controller dials the agent.
    fn dialed(controller: &'static Release, supervisor: &'static Release, id: u8) -> Self {
        let waits = "Management::Agent::controller=[$address=\"0.0.0.0\", $bound_port=0/unknown]";
        let mut world = world(id, &[waits]);
        let supervisor = world.supervisor(supervisor, SUPERVISOR);
        let controller = world.controller(controller, None);
        world.dial(controller);
        world.pass(SOON);
        Self {
            world,
            controller,
            supervisor,
        }
    }

    /// From the hello to the standby.
    fn live(&mut self, id: u8) {
        let hellos = self.controller_hellos();
        assert!(!hellos.is_empty(), "no hello");
        let own = own_id(id).to_string();
        assert!(hellos.iter().all(|hello| *hello == own), "{hellos:?}");

        self.deploy("c1");
        self.check_orders();
        let rows = self.rows();
        self.check_rows(&rows);

        let action = Data::Vector(vec![
            Data::string("get_id_value"),
            Data::string("bits_per_uid"),
        ]);
        let none = || Data::Set(broker_proto::data::Set::from([]));
        let results = self.ask("node_dispatch_request", vec![action, none()]);
        for (result, node) in results.iter().zip(["manager", "worker"]) {
            assert_eq!(result.node.as_deref(), Some(node));
            assert_eq!(result.data, Data::string("96"), "{result:?}");
        }
        let results = self.ask("restart_request", vec![none()]);
        let restarted = results
            .iter()
            .map(|it| (it.node.as_deref(), it.error.clone()));
        let well = [(Some("manager"), None), (Some("worker"), None)];
        assert_eq!(restarted.collect::<Vec<_>>(), well);

        // Nodes of the second configuration take the place of the first one's.
        self.deploy("c2");
        let standby = self.world.seats[self.controller].controller();
        let standby = standby.ask("agent_standby_request", vec![Data::string("")]);
        self.world.act(self.controller, vec![standby]);
        self.world.pass(SOON);
        let rows = self.rows();
        let names: Vec<_> = rows.iter().map(|row| text(&row[0])).collect();
        assert_eq!(names, [INSTANCE], "all are gone");
    }

    fn controller_hellos(&mut self) -> Vec<String> {
        self.world.seats[self.controller]
            .controller()
            .hellos
            .clone()
    }

    fn deploy(&mut self, id: &str) {
        let seat = &mut self.world.seats[self.controller];
        seat.controller().answers.clear();
        let acts = seat.controller().deploy(id, &NODES);
        self.world.act(self.controller, acts);
        self.world.pass(SOON);
        let answers = &self.world.seats[self.controller].controller().answers;
        let results = answers.get("deploy").expect("an answer to the deployment");
        let outcomes = results
            .iter()
            .map(|it| (it.node.as_deref(), it.error.as_deref()));
        let well = [(Some("manager"), None), (Some("worker"), None)];
        assert_eq!(outcomes.collect::<Vec<_>>(), well);
    }

    fn ask(&mut self, request: &str, mut args: Vec<Data>) -> Vec<Outcome> {
        args.insert(0, Data::string(request));
        let controller = self.world.seats[self.controller].controller();
        let act = controller.ask(request, args);
        self.world.act(self.controller, vec![act]);
        self.world.pass(SOON);
        let controller = self.world.seats[self.controller].controller();
        controller.answers.remove(request).expect("an answer")
    }

    fn rows(&mut self) -> Vec<Vec<Data>> {
        let results = self.ask("get_nodes_request", vec![]);
        let rows = items(&results[0].data)
            .iter()
            .map(|row| items(row).to_vec());
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| text(&row[0]).to_owned());
        rows
    }

    fn ordered(&mut self) -> Vec<String> {
        let supervisor = self.world.seats[self.supervisor].supervisor();
        let names = supervisor
            .ordered
            .iter()
            .map(|config| text(&config[0]).to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Each node was ordered once, in the supervisor's own layout (API §1.5, §5.4 A11).
    fn check_orders(&mut self) {
        let release = self.world.seats[self.supervisor].peer.release;
        let supervisor = self.world.seats[self.supervisor].supervisor();
        assert_eq!(supervisor.ordered.len(), 2, "{:?}", supervisor.ordered);
        for config in &supervisor.ordered {
            let name = text(&config[0]);
            let scripts = if release.node_config.contains(&"addl_user_scripts") {
                "addl_user_scripts"
            } else {
                "scripts"
            };
            for list in ["addl_base_scripts", "addl_user_scripts", "scripts"] {
                if !release.node_config.contains(&list) {
                    continue;
                }
                let got: Vec<_> = items(supervisor.field(config, list))
                    .iter()
                    .map(text)
                    .collect();
                let want: &[&str] = if list == scripts { &[NODE_SCRIPT] } else { &[] };
                assert_eq!(got, want, "{list} of {name}");
            }
            let directory = text(supervisor.field(config, "directory"));
            assert!(
                directory.ends_with(&format!("/nodes/{name}")),
                "{directory}"
            );
            for unset in ["interface", "stdout_file", "stderr_file", "bare_mode"] {
                assert_eq!(*supervisor.field(config, unset), Data::None, "{unset}");
            }
            let Data::Table(cluster) = supervisor.field(config, "cluster") else {
                panic!("no cluster");
            };
            let members: Vec<_> = cluster.keys().map(text).collect();
            assert_eq!(members, ["far", "manager", "worker"]);
            let manager = items(cluster.get(&Data::string("manager")).unwrap());
            assert_eq!(manager[0], Data::enum_value("Supervisor::MANAGER"));
            assert_eq!(manager[2], Data::Port(Port::tcp(2200)));
        }
    }

    fn check_rows(&mut self, rows: &[Vec<Data>]) {
        let above = self.world.seats[self.controller].peer.release;
        let below = self.world.seats[self.supervisor].peer.release;
        let running = Data::enum_value("Management::RUNNING");
        let names: Vec<_> = rows.iter().map(|row| text(&row[0])).collect();
        assert_eq!(names, [INSTANCE, "manager", "worker"]);
        assert!(rows.iter().all(|row| row[1] == running), "{rows:?}");
        let ports: Vec<_> = rows[1..].iter().map(|row| row[5].clone()).collect();
        assert_eq!(ports, [Data::Port(Port::tcp(2200)), Data::None]);
        // A node that is not told a metrics port has none.
        let metrics: Vec<_> = rows[1..].iter().map(|row| row[6].clone()).collect();
        let have_metrics = [above, below].iter().all(|it| it.metrics != Metrics::None);
        let assigned = |number| match have_metrics {
            false => Data::None,
            true => Data::Port(Port::tcp(number)),
        };
        assert_eq!(metrics, [assigned(9000), assigned(9001)]);
    }
}

#[test]
fn the_table_tells_agents_of_5_0_from_later_ones() {
    let first = RELEASES.iter().filter(|it| it.hello == Hello::AtOnce);
    assert_eq!(first.map(|it| it.name).collect::<Vec<_>>(), ["5.0"]);
}

/// Our agent without its sockets.
struct OurAgent(AgentProcess);

fn world(first_byte: u8, arguments: &[&str]) -> World<OurAgent> {
    let now = Instant::now();
    let name = format!("Management::Agent::name={INSTANCE}");
    let arguments = [&[name.as_str()], arguments].concat();
    let settings = settings(&arguments).agent;
    let process = AgentProcess::new(settings, own_id(first_byte), IdGen::new(1), now);
    World::new(OurAgent(process), now)
}

impl Ours for OurAgent {
    fn broker(&mut self, now: Instant, input: peering::Input) {
        self.0.handle(now, input);
    }

    fn timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn poll(&mut self, _now: Instant) -> Option<peering::Output> {
        loop {
            match self.0.poll_output()? {
                Output::Broker(output) => return Some(output),
                Output::Log(_) | Output::WriteOptions { .. } | Output::Keep(_) => {}
            }
        }
    }
}
