//! Our controller and agents of every release.

use std::time::{Duration, Instant};

use broker_proto::zeek::Event;
use broker_proto::{Data, IdGen, Port, peering};
use mgmt::api::ApiResult;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::controller::configs::Saved;
use mgmt::controller::process::{ControllerProcess, Input, Output};
use mgmt::model::{ClusterRole, Configuration, Instance, Node, NodeStatus, State};
use zeek_client_compat::hub::{self, ClientId};
use zeek_client_compat::message::{self, DataMessage};

use super::for_each_release;
use crate::stock::release::{Metrics, Overflow, Release};
use crate::world::{INSTANCE, Ours, World, own_id, settings};

const AGENT_PORT: u16 = 2151;
const CLIENT: ClientId = ClientId(1);

/// Longer than anything a working agent takes.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn an_agent_that_dials_is_welcomed_deployed_asked_and_put_on_standby() {
    for_each_release(|release| {
        // Once as originator, once as responder (WIRE §4.2).
        for id in [0, 0xff] {
            let mut world = world(id);
            let agent = world.agent(release, None);
            world.dial(agent);
            whole_life(release, world, agent, None);
        }
    });
}

#[test]
fn an_agent_that_waits_to_be_dialed_is_deployed_likewise() {
    for_each_release(|release| {
        let mut world = world(0x80);
        let agent = world.agent(release, Some(AGENT_PORT));
        whole_life(release, world, agent, Some(Port::tcp(AGENT_PORT)));
    });
}

fn whole_life(
    release: &'static Release,
    mut world: World<OurController>,
    agent: usize,
    listen_port: Option<Port>,
) {
    world.pass(SOON);
    world
        .ours
        .deploy(world.now, configuration("c1", listen_port));
    world.pass(SOON);
    let ControllerResponse::Deploy { results, .. } = world.ours.answer("deploy") else {
        panic!("no answer to the deployment");
    };
    assert_all_well(release, &results);
    assert_eq!(
        results.last().unwrap().data,
        Some(Data::string("c1").into())
    );
    let nodes: Vec<_> = results.iter().filter_map(|it| it.node.as_deref()).collect();
    assert_eq!(nodes, ["manager", "worker"]);

    let reqid = "nodes".to_owned();
    world
        .ours
        .ask(world.now, &ControllerRequest::GetNodes { reqid });
    world.pass(SOON);
    let ControllerResponse::GetNodes { results, .. } = world.ours.answer("nodes") else {
        panic!("no list of nodes");
    };
    assert_all_well(release, &results);
    assert_rows(release, &results);

    // A node that has not said hello yet, in the words of the release.
    world.seats[agent].agent().pending = ["worker".to_owned()].into();
    let results = world.ours.dispatch(world.now);
    assert_eq!(results, None, "it takes a while");
    world.pass(SOON);
    let ControllerResponse::GetIdValue { results, .. } = world.ours.answer("value") else {
        panic!("no values");
    };
    let values: Vec<_> = results
        .iter()
        .map(|it| (it.data.clone(), it.error.clone()))
        .collect();
    let error = format!("cluster node worker not in {} state", release.running);
    assert_eq!(
        values,
        [(Some(Data::string("96").into()), None), (None, Some(error))]
    );

    let (reqid, nodes) = ("restart".to_owned(), ["worker".to_owned()].into());
    let restart = ControllerRequest::Restart { reqid, nodes };
    world.ours.ask(world.now, &restart);
    world.pass(SOON);
    let ControllerResponse::Restart { results, .. } = world.ours.answer("restart") else {
        panic!("no answer to the restart");
    };
    assert_all_well(release, &results);
    assert_eq!(results[0].node.as_deref(), Some("worker"));

    // An empty configuration stops the nodes; the late second answer of D31 changes nothing.
    world.ours.deploy(world.now, empty("c2", listen_port));
    world.pass(Duration::from_secs(20));
    let ControllerResponse::Deploy { results, .. } = world.ours.answer("deploy") else {
        panic!("no answer to the empty deployment");
    };
    assert_all_well(release, &results);
    world
        .ours
        .deploy(world.now, configuration("c3", listen_port));
    world.pass(SOON);
    let ControllerResponse::Deploy { results, .. } = world.ours.answer("deploy") else {
        panic!("no answer to the third deployment");
    };
    assert_all_well(release, &results);

    // A configuration without the instance puts the agent on standby.
    let without = Configuration {
        id: "c4".into(),
        instances: [].into(),
        nodes: [].into(),
    };
    world.seats[agent].heard.clear();
    world.ours.deploy(world.now, without);
    world.pass(SOON);
    assert_eq!(world.seats[agent].heard("agent_standby_request").len(), 1);
    assert_eq!(
        world.seats[agent].losses,
        usize::from(listen_port.is_some())
    );
}

#[test]
fn an_agent_that_leaves_in_its_way_is_gone_and_comes_back_as_itself() {
    for_each_release(|release| {
        let mut world = world(0x80);
        let agent = world.agent(release, None);
        world.dial(agent);
        world.pass(SOON);
        world.ours.deploy(world.now, configuration("c1", None));
        world.pass(SOON);
        world.ours.answer("deploy");
        world.leave(agent);
        assert!(!world.seats[agent].is_linked());
        assert_eq!(world.instances(), [""; 0]);

        world.seats[agent].heard.clear();
        world.dial(agent);
        world.pass(SOON);
        assert_eq!(world.instances(), [INSTANCE]);
        let again = world.seats[agent].heard("deploy_request");
        assert_eq!(again.len(), 1, "what is deployed is sent to who returns");
    });
}

#[test]
fn an_agent_that_dials_again_at_its_own_pace_is_always_let_in() {
    for_each_release(|release| {
        let mut world = world(0x80);
        let agent = world.agent(release, None);
        for _ in 0..release.attempts.unwrap_or(20) {
            world.dial(agent);
            world.pass(SOON);
            assert!(world.seats[agent].peer.is_up(), "Zeek {}", release.name);
            world.cut(agent);
            // The first time at once, then at its interval (WIRE §4.6).
            world.dial(agent);
            assert!(world.seats[agent].peer.is_up(), "Zeek {}", release.name);
            world.cut(agent);
            world.pass(Duration::from_secs(release.retry_secs));
        }
        world.dial(agent);
        world.pass(SOON);
        assert_eq!(world.instances(), [INSTANCE]);
    });
}

/// A buffer that is full loses answers without a word since 7.2, and holds them up before
/// (WIRE §6.8).
#[test]
fn a_client_has_one_answer_though_the_agents_is_lost_or_late() {
    for_each_release(|release| {
        let mut world = world(0x80);
        let agent = world.agent(release, None);
        world.dial(agent);
        world.pass(SOON);
        world.seats[agent].agent().stuck = Some(match release.overflow {
            Overflow::Waits => Some(Duration::from_secs(15)),
            Overflow::DropsOldest(_) => None,
        });
        let reqid = "nodes".to_owned();
        world
            .ours
            .ask(world.now, &ControllerRequest::GetNodes { reqid });
        world.pass(Duration::from_secs(12));
        let ControllerResponse::GetNodes { results, .. } = world.ours.answer("nodes") else {
            panic!("no answer");
        };
        let error = results.last().unwrap().error.as_deref();
        assert_eq!(error, Some("request timed out"), "Zeek {}", release.name);
        world.pass(Duration::from_secs(12));
        assert_eq!(world.ours.answers, [], "and no second one");
    });
}

#[test]
fn what_stock_endpoints_say_beside_events_is_answered_or_ignored() {
    for_each_release(|release| {
        let mut world = world(0x80);
        let agent = world.agent(release, None);
        world.dial(agent);
        super::say_everything(release, &mut world, agent);
        assert_eq!(world.instances(), [INSTANCE]);
    });
}

impl World<OurController> {
    /// The names of the agents that clients are told of.
    fn instances(&mut self) -> Vec<String> {
        let reqid = "instances".to_owned();
        self.ours
            .ask(self.now, &ControllerRequest::GetInstances { reqid });
        self.pass(SOON);
        let ControllerResponse::GetInstances { result, .. } = self.ours.answer("instances") else {
            panic!("no instances");
        };
        let instances = result.data.unwrap().read::<Vec<Data>>().unwrap();
        let names = instances.iter().map(|instance| {
            let fields = crate::stock::items(instance);
            crate::stock::text(&fields[0]).to_owned()
        });
        names.collect()
    }
}

fn assert_all_well(release: &Release, results: &[ApiResult]) {
    assert!(!results.is_empty());
    for result in results {
        assert!(result.success, "Zeek {}: {result:?}", release.name);
    }
}

/// No row has a port that is none, whatever the release calls it (API §15.1).
fn assert_rows(release: &Release, results: &[ApiResult]) {
    let [result] = results else {
        panic!("one agent, {} results", results.len());
    };
    let rows = result.data.clone().unwrap();
    let rows: Vec<NodeStatus> = rows.read().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.node.as_str()).collect();
    assert_eq!(names, [INSTANCE, "manager", "worker"]);
    assert!(rows.iter().all(|row| row.state == State::Running));
    let ports: Vec<_> = rows.iter().map(|row| row.p).collect();
    assert_eq!(ports, [None, Some(Port::tcp(2200)), None]);
    let metrics: Vec<_> = rows.iter().map(|row| row.metrics_port).collect();
    let assigned = |number| (release.metrics != Metrics::None).then(|| Port::tcp(number));
    assert_eq!(metrics, [None, assigned(9000), assigned(9001)]);
}

fn empty(id: &str, listen_port: Option<Port>) -> Configuration {
    let instance = Instance {
        name: INSTANCE.into(),
        host: "127.0.0.1".parse().unwrap(),
        listen_port,
    };
    Configuration {
        id: id.into(),
        instances: [instance].into(),
        nodes: [].into(),
    }
}

fn configuration(id: &str, listen_port: Option<Port>) -> Configuration {
    let nodes = [
        Node::new(INSTANCE, "manager", ClusterRole::Manager),
        Node {
            scripts: Some(vec!["site/local".into()]),
            cpu_affinity: Some(mgmt::model::CpuAffinity(1)),
            ..Node::new(INSTANCE, "worker", ClusterRole::Worker)
        },
    ];
    Configuration {
        nodes: nodes.into(),
        ..empty(id, listen_port)
    }
}

/// Our controller with one client.
pub(super) struct OurController {
    process: ControllerProcess,
    answers: Vec<ControllerResponse>,
}

fn world(first_byte: u8) -> World<OurController> {
    let now = Instant::now();
    let settings = settings(&[]).controller;
    let (id, ids) = (own_id(first_byte), IdGen::new(1));
    let process = ControllerProcess::new(settings, "8.0.10", id, ids, Saved::default(), now);
    let mut ours = OurController {
        process,
        answers: Vec::new(),
    };
    let remote = "127.0.0.1:50000".parse().unwrap();
    let (client, application) = (CLIENT, None);
    ours.client(
        now,
        hub::Input::Opened {
            client,
            remote,
            application,
            certificate: None,
        },
    );
    let text = r#"["zeek/management/controller"]"#.to_owned();
    ours.client(now, hub::Input::Text { client, text });
    World::new(ours, now)
}

impl OurController {
    fn client(&mut self, now: Instant, input: hub::Input) {
        self.process.handle(now, Input::WebSocket(input));
    }

    fn ask(&mut self, now: Instant, request: &ControllerRequest) {
        let event = Event::from(request.clone());
        let topic = mgmt::api::CONTROLLER_TOPIC;
        let text = message::event(&topic, event);
        let client = CLIENT;
        self.client(now, hub::Input::Text { client, text });
    }

    fn deploy(&mut self, now: Instant, config: Configuration) {
        let reqid = "stage".to_owned();
        self.ask(
            now,
            &ControllerRequest::StageConfiguration { reqid, config },
        );
        let reqid = "deploy".to_owned();
        self.ask(now, &ControllerRequest::Deploy { reqid });
    }

    fn dispatch(&mut self, now: Instant) -> Option<ControllerResponse> {
        let (reqid, id) = ("value".to_owned(), "bits_per_uid".to_owned());
        let nodes = [].into();
        self.ask(now, &ControllerRequest::GetIdValue { reqid, id, nodes });
        let value = |it: &ControllerResponse| matches!(it, ControllerResponse::GetIdValue { .. });
        self.answers.iter().find(|it| value(it)).cloned()
    }

    /// The one answer to this request.
    fn answer(&mut self, asked: &str) -> ControllerResponse {
        let answers = std::mem::take(&mut self.answers).into_iter();
        let answers = answers.filter(|answer| {
            let event = Event::from(answer.clone());
            event.args.first() == Some(&Data::string(asked))
        });
        let answers: Vec<_> = answers.collect();
        let [answer] = answers.as_slice() else {
            panic!("not one answer to {asked}: {answers:?}");
        };
        answer.clone()
    }
}

impl Ours for OurController {
    fn broker(&mut self, now: Instant, input: peering::Input) {
        self.process.handle(now, Input::Broker(input));
    }

    fn timeout(&mut self, now: Instant) {
        self.process.handle_timeout(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.process.poll_timeout()
    }

    fn poll(&mut self, now: Instant) -> Option<peering::Output> {
        loop {
            match self.process.poll_output()? {
                Output::Broker(output) => return Some(output),
                Output::Save { .. } => {
                    let result = Ok(());
                    self.process.handle(now, Input::Saved { result });
                }
                Output::WebSocket(hub::Output::Send { text, .. }) => {
                    let event = DataMessage::parse(&text).ok();
                    let event = event.and_then(|it| Event::from_data(it.data).ok());
                    let answer = event.and_then(|event| ControllerResponse::try_from(event).ok());
                    self.answers.extend(answer);
                }
                Output::WebSocket(
                    hub::Output::Close { .. }
                    | hub::Output::Deliver { .. }
                    | hub::Output::Refused { .. }
                    | hub::Output::Unread { .. }
                    | hub::Output::Unsent { .. },
                )
                | Output::Log(_)
                | Output::Audited(_)
                | Output::Audit(_) => {}
            }
        }
    }
}
