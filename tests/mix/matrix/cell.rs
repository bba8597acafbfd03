//! One cell: all four parts start, a configuration is deployed, and each node is asked for a value.

use std::sync::Arc;
use std::time::Duration;

use broker_proto::tls::{Certificates, Tls};
use broker_proto::zeek::{Any, ToData};
use broker_proto::{Data, Port};
use harness::certificates::{Authority, Identity};
use harness::websocket::WebSocket;
use harness::{binaries, wait_until};
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::model::{ClusterRole, Configuration, Instance, Node as ModelNode};

use super::ours::{Ports, Programs};
use super::process::{Process, Stage};
use super::{Cell, Dialer, Kind, Protection};
use crate::stock::agent::Agent;
use crate::stock::controller::Controller;
use crate::stock::shapes::Part;
use crate::stock::supervisor::Supervisor;
use crate::world::INSTANCE;

/// From start to a listening port.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What a node says of this global (API §6).
const GLOBAL: &str = "bits_per_uid";

pub(super) fn run(cell: &Cell) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let mut programs = Programs::new();
    let seal = Seal::new(cell.protection);
    programs.protection = seal.settings();
    if cell.supervisor == Kind::Ours {
        programs.supervisor(&binaries::built().unwrap().standin);
    }
    if cell.controller == Kind::Ours {
        programs.controller();
    }
    if cell.agent == Kind::Ours {
        let controller = programs.ports.controller;
        programs.agent((cell.dialer == Dialer::Agent).then_some(controller));
    }
    let (cell, ports) = (*cell, programs.ports);
    let stage = Stage {
        release: cell.release,
        tls: seal.tls.clone(),
        complaints: Arc::default(),
    };
    let values = runtime.block_on(async {
        let _simulated = stock_parts(&cell, ports, &stage).await;
        match cell.controller {
            Kind::Ours => {
                let client = tokio::task::spawn_blocking(move || through_ours(&cell, ports));
                client.await.unwrap()
            }
            Kind::Stock => through_stock(&cell, ports, &stage).await,
        }
    });
    let want = ["manager", "worker"].map(|node| (node.to_owned(), Data::string("96")));
    assert_eq!(values, want, "{cell:?}");
    assert_eq!(*stage.complaints.lock().unwrap(), [""; 0], "{cell:?}");
}

/// Those that need not be told what to do.
async fn stock_parts(
    cell: &Cell,
    ports: Ports,
    stage: &Stage,
) -> (Option<Process<Supervisor>>, Option<Process<Agent>>) {
    let release = cell.release;
    let mut parts = (None, None);
    if cell.supervisor == Kind::Stock {
        let make = |_: &_| Supervisor::new(release);
        let places = (Some(ports.supervisor), &[][..]);
        let filter = Supervisor::FILTER;
        parts.0 = Some(Process::start(stage, Part::Supervisor, &filter, &make, places).await);
    }
    if cell.agent == Kind::Stock {
        let is_dialing = cell.dialer == Dialer::Agent;
        let make = |handle: &broker_proto::io::handle::Handle| {
            let id = handle.id().to_string();
            Agent::new(release, INSTANCE, &id, is_dialing).driving(ports.agent)
        };
        let filter = Agent::filter(INSTANCE);
        let filter = filter.each_ref().map(String::as_str);
        let supervisor = (None, &[ports.supervisor][..]);
        let agent = Process::start(stage, Part::Agent, &filter, &make, supervisor).await;
        // Agents of 5.0 take orders before they have a supervisor, and lose them.
        agent.wait(|it| (it.peerings > 0).then_some(())).await;
        let dials = [ports.controller];
        let dials = &dials[..usize::from(is_dialing)];
        agent.connect(Some(ports.agent), dials).await;
        parts.1 = Some(agent);
    }
    parts
}

/// As a client of the controller; the values that nodes gave in the end.
pub(super) fn through_ours(cell: &Cell, ports: Ports) -> Vec<(String, Data)> {
    let port = ports.websocket;
    let client = wait_until(START_LIMIT, || WebSocket::subscribed(port).ok());
    let mut client = client.expect("a controller that listens");
    let listen_port = match cell.dialer {
        Dialer::Agent => None,
        Dialer::Controller => Some(Port::tcp(ports.agent)),
    };
    let instance = Instance {
        name: INSTANCE.into(),
        host: "127.0.0.1".parse().unwrap(),
        listen_port,
    };
    let nodes = [
        ModelNode::new(INSTANCE, "manager", ClusterRole::Manager),
        ModelNode::new(INSTANCE, "worker", ClusterRole::Worker),
    ];
    let config = Configuration {
        id: "mix".into(),
        instances: [instance].into(),
        nodes: nodes.into(),
    };
    let reqid = "mix".to_owned();
    let stage = ControllerRequest::StageConfiguration { reqid, config };
    client.answer(&stage).unwrap();
    let reqid = "mix".to_owned();
    let answer = client.answer(&ControllerRequest::Deploy { reqid }).unwrap();
    let ControllerResponse::Deploy { results, .. } = answer else {
        panic!("{answer:?}");
    };
    let is_well = results.iter().all(|result| result.success);
    assert!(is_well, "{cell:?}: {results:?}");
    let ask = ControllerRequest::GetIdValue {
        reqid: "mix".into(),
        id: GLOBAL.into(),
        nodes: [].into(),
    };
    let answer = client.answer(&ask).unwrap();
    let ControllerResponse::GetIdValue { results, .. } = answer else {
        panic!("{answer:?}");
    };
    let values = results.into_iter().map(|result| {
        let data = result.data.map_or(Data::None, Any::into_data);
        (result.node.unwrap_or_default(), data)
    });
    let mut values: Vec<_> = values.collect();
    values.sort();
    values
}

/// As a stock controller does on behalf of a client.
async fn through_stock(cell: &Cell, ports: Ports, stage: &Stage) -> Vec<(String, Data)> {
    let release = cell.release;
    let make = |_: &_| Controller::new(release, INSTANCE);
    let places = match cell.dialer {
        Dialer::Agent => (Some(ports.controller), &[][..]),
        Dialer::Controller => (None, &[ports.agent][..]),
    };
    let filter = Controller::FILTER;
    let controller = Process::start(stage, Part::Controller, &filter, &make, places).await;
    controller
        .wait(|it| (!it.hellos.is_empty()).then_some(()))
        .await;
    let nodes = [
        ("manager", "MANAGER", INSTANCE),
        ("worker", "WORKER", INSTANCE),
    ];
    controller.act(|it| it.deploy("mix", &nodes)).await;
    let results = controller.wait(|it| it.answers.remove("deploy")).await;
    let is_well = results.iter().all(|result| result.error.is_none());
    assert!(is_well, "{cell:?}: {results:?}");
    let action = [Data::string("get_id_value"), Data::string(GLOBAL)];
    let args = vec![
        Data::string("value"),
        Data::Vector(action.into()),
        Data::Set(broker_proto::data::Set::from([])),
    ];
    let ask = |it: &mut Controller| vec![it.ask("node_dispatch_request", args)];
    controller.act(ask).await;
    let results = controller.wait(|it| it.answers.remove("value")).await;
    let values = results.into_iter();
    let values = values.map(|result| (result.node.unwrap_or_default(), result.data));
    let mut values: Vec<_> = values.collect();
    values.sort();
    values
}

/// How the links of a cell are protected, on both sides alike.
struct Seal {
    tls: Tls,
    /// Keeps the files.
    _authority: Option<Authority>,
}

impl Seal {
    fn new(protection: Protection) -> Self {
        let authority = match protection {
            Protection::Certificates => Some(Authority::new("mix").unwrap()),
            Protection::Cleartext | Protection::Anonymous => None,
        };
        let certificates = authority.as_ref().map(|authority| {
            let Identity {
                certificate,
                keyfile,
            } = authority.issue("zeek").unwrap();
            Certificates {
                certificate: Some(certificate),
                keyfile: Some(keyfile),
                cafile: Some(authority.cafile()),
                ..Certificates::default()
            }
        });
        let tls = match (protection, certificates) {
            (Protection::Cleartext, _) => Tls::Off,
            (_, Some(certificates)) => Tls::Certificates(certificates),
            (_, None) => Tls::Anonymous,
        };
        Self {
            tls,
            _authority: authority,
        }
    }

    /// For programs.
    fn settings(&self) -> Vec<String> {
        match &self.tls {
            Tls::Off => vec!["Broker::disable_ssl=T".to_owned()],
            Tls::Anonymous => vec![],
            Tls::Certificates(files) => {
                let files = [
                    ("ssl_certificate", &files.certificate),
                    ("ssl_keyfile", &files.keyfile),
                    ("ssl_cafile", &files.cafile),
                ];
                let setting = |(name, path): (&str, &Option<std::path::PathBuf>)| {
                    format!("Broker::{name}={}", path.as_ref().unwrap().display())
                };
                files.map(setting).into()
            }
        }
    }
}
