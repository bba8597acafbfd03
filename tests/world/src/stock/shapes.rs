//! What a stock process of a release makes of an event's arguments: they must be as many as its
//! scripts declare, and convert to the declared types, or the event is dropped (API §1.2).

use broker_proto::Data;

use super::release::{Metrics, Release};

/// A type of Zeek's scripts, as far as the framework uses it.
#[derive(Clone, Debug)]
enum Shape {
    Text,
    Flag,
    Count,
    Integer,
    Address,
    Port,
    /// One of these names.
    Enum(&'static str, &'static [&'static str]),
    Any,
    List(Box<Self>),
    Set(Box<Self>),
    Table(Box<Self>),
    Record(Vec<(&'static str, Self, Need)>),
}

/// Whether nil may stand for a field (API §1.2 rule 3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Need {
    Filled,
    Free,
}

use Need::{Filled, Free};
use Shape::{Address, Any, Count, Flag, Integer, Port, Text};

const ROLES: &[&str] = &["NONE", "LOGGER", "MANAGER", "PROXY", "WORKER"];
const STATES: &[&str] = &[
    "PENDING", "RUNNING", "STOPPED", "FAILED", "CRASHED", "UNKNOWN",
];
const MGMT_ROLES: &[&str] = &["NONE", "AGENT", "CONTROLLER", "NODE"];
const ROLE: Shape = Shape::Enum("Supervisor::", ROLES);
const STATE: Shape = Shape::Enum("Management::", STATES);

/// Who has handlers for an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    Controller,
    Agent,
    Supervisor,
    Node,
}

/// Why a stock process of this release and part drops an event that it has a handler for; events
/// without handler are ignored in silence.
pub fn complaint(
    release: &Release,
    part: Part,
    name: &str,
    args: &[Data],
) -> Result<Known, String> {
    let Some(declared) = declaration(release, part, name) else {
        return Ok(Known::No);
    };
    if declared.len() != args.len() {
        let text = format!(
            "got event message '{name}' with invalid # of args, got {}, expected {}",
            args.len(),
            declared.len()
        );
        return Err(text);
    }
    for (at, (shape, arg)) in declared.iter().zip(args).enumerate() {
        shape
            .check(arg)
            .map_err(|error| format!("{name}, argument {at}: {error}"))?;
    }
    Ok(Known::Yes)
}

/// Whether there is a handler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    Yes,
    No,
}

/// The types of an event's arguments (API §2).
fn declaration(release: &Release, part: Part, name: &str) -> Option<Vec<Shape>> {
    match part {
        Part::Controller => for_controller(release, name),
        Part::Agent => for_agent(release, name),
        Part::Supervisor => for_supervisor(release, name),
        Part::Node => for_node(name),
    }
}

/// API §2.2, and of API §2.1 what clients ask.
fn for_controller(release: &Release, name: &str) -> Option<Vec<Shape>> {
    let agent = name.strip_prefix("Management::Agent::API::")?;
    Some(match agent {
        "notify_agent_hello" => vec![Text, Text, Flag, Count],
        "agent_welcome_response" => vec![Text, result(Any)],
        "deploy_response" => vec![Text, list(result(outputs()))],
        "get_nodes_response" => vec![Text, filled_result(list(node_status(release)))],
        "node_dispatch_response" => vec![Text, list(result(Text))],
        "restart_response" => vec![Text, list(result(Any))],
        "notify_change" => vec![Text, node(release), STATE, STATE],
        "notify_error" | "notify_log" => vec![Text, Text, Text],
        _ => return None,
    })
}

/// API §2.2, §2.3, §2.4, §2.5.
fn for_agent(release: &Release, name: &str) -> Option<Vec<Shape>> {
    Some(match name {
        "Management::Agent::API::agent_welcome_request"
        | "Management::Agent::API::agent_standby_request"
        | "Management::Agent::API::get_nodes_request" => vec![Text],
        "Management::Agent::API::deploy_request" => vec![Text, configuration(release), Flag],
        "Management::Agent::API::node_dispatch_request" => vec![Text, list(Text), set(Text)],
        "Management::Agent::API::restart_request" => vec![Text, set(Text)],
        "Management::Node::API::notify_node_hello" => vec![Text],
        "Management::Node::API::node_dispatch_response" => vec![Text, result(Any)],
        "Management::Supervisor::API::notify_node_exit" => vec![Text, outputs()],
        "SupervisorControl::create_response" => vec![Text, Text],
        "SupervisorControl::status_response" => vec![Text, status(release)],
        "SupervisorControl::restart_response" | "SupervisorControl::destroy_response" => {
            vec![Text, Flag]
        }
        "SupervisorControl::node_status" => vec![Text, Count],
        _ => return None,
    })
}

fn for_supervisor(release: &Release, name: &str) -> Option<Vec<Shape>> {
    Some(match name {
        "SupervisorControl::create_request" => vec![Text, node_config(release)],
        "SupervisorControl::status_request"
        | "SupervisorControl::restart_request"
        | "SupervisorControl::destroy_request" => vec![Text, Text],
        "SupervisorControl::stop_request" => vec![],
        _ => return None,
    })
}

fn for_node(name: &str) -> Option<Vec<Shape>> {
    let is_dispatch = name == "Management::Node::API::node_dispatch_request";
    is_dispatch.then(|| vec![Text, list(Text), set(Text)])
}

fn configuration(release: &Release) -> Shape {
    let instance = Shape::Record(vec![
        ("name", Text, Filled),
        ("host", Address, Filled),
        ("listen_port", Port, Free),
    ]);
    Shape::Record(vec![
        ("id", Text, Filled),
        ("instances", set(instance), Free),
        ("nodes", set(node(release)), Free),
    ])
}

fn node(release: &Release) -> Shape {
    let option = Shape::Record(vec![("name", Text, Filled), ("value", Text, Filled)]);
    let mut fields = vec![
        ("name", Text, Filled),
        ("instance", Text, Filled),
        ("role", ROLE, Filled),
        ("state", STATE, Filled),
        ("p", Port, Free),
        ("scripts", list(Text), Free),
        ("options", set(option), Free),
        ("interface", Text, Free),
        ("cpu_affinity", Integer, Free),
        ("env", table(Text), Free),
    ];
    with_metrics(release, &mut fields);
    Shape::Record(fields)
}

fn node_status(release: &Release) -> Shape {
    let mut fields = vec![
        ("node", Text, Filled),
        ("state", STATE, Filled),
        ("mgmt_role", Shape::Enum("Management::", MGMT_ROLES), Free),
        ("cluster_role", ROLE, Free),
        ("pid", Integer, Free),
        ("p", Port, Free),
    ];
    with_metrics(release, &mut fields);
    Shape::Record(fields)
}

fn with_metrics(release: &Release, fields: &mut Vec<(&'static str, Shape, Need)>) {
    if release.metrics != Metrics::None {
        fields.push(("metrics_port", Port, Free));
    }
}

fn result(data: Shape) -> Shape {
    result_with(data, Free)
}

/// A handler that uses the data without looking whether there is any (API §12.1 D18).
fn filled_result(data: Shape) -> Shape {
    result_with(data, Filled)
}

fn result_with(data: Shape, need: Need) -> Shape {
    Shape::Record(vec![
        ("reqid", Text, Filled),
        ("success", Flag, Free),
        ("instance", Text, Free),
        ("data", data, need),
        ("error", Text, Free),
        ("node", Text, Free),
    ])
}

fn outputs() -> Shape {
    Shape::Record(vec![("stdout", Text, Filled), ("stderr", Text, Filled)])
}

fn status(release: &Release) -> Shape {
    let node = Shape::Record(vec![
        ("node", node_config(release), Filled),
        ("pid", Integer, Free),
    ]);
    Shape::Record(vec![("nodes", table(node), Filled)])
}

fn node_config(release: &Release) -> Shape {
    let fields = release.node_config.iter().map(|field| match *field {
        "name" => ("name", Text, Filled),
        "bare_mode" => ("bare_mode", Flag, Free),
        "addl_base_scripts" | "addl_user_scripts" | "scripts" => (*field, list(Text), Free),
        "env" => ("env", table(Text), Free),
        "cpu_affinity" => ("cpu_affinity", Integer, Free),
        "cluster" => ("cluster", table(endpoint(release)), Free),
        text => (text, Text, Free),
    });
    Shape::Record(fields.collect())
}

fn endpoint(release: &Release) -> Shape {
    let fields = release.endpoint.iter().map(|field| match *field {
        "role" => ("role", ROLE, Filled),
        "host" => ("host", Address, Filled),
        "p" => ("p", Port, Filled),
        "metrics_port" => ("metrics_port", Port, Free),
        text => (text, Text, Free),
    });
    Shape::Record(fields.collect())
}

fn list(element: Shape) -> Shape {
    Shape::List(Box::new(element))
}

fn set(element: Shape) -> Shape {
    Shape::Set(Box::new(element))
}

/// With texts as keys.
fn table(value: Shape) -> Shape {
    Shape::Table(Box::new(value))
}

impl Shape {
    fn check(&self, data: &Data) -> Result<(), String> {
        match (self, data) {
            (Any, _)
            | (Text, Data::String(_))
            | (Flag, Data::Boolean(_))
            | (Count, Data::Count(_))
            | (Integer, Data::Integer(_))
            | (Address, Data::Address(_))
            | (Port, Data::Port(_)) => Ok(()),
            (Self::Enum(prefix, names), Data::Enum(name)) => {
                let text = name.to_str().unwrap_or_default();
                let last = text.strip_prefix(prefix);
                let is_known = last.is_some_and(|last| names.contains(&last));
                is_known
                    .then_some(())
                    .ok_or_else(|| format!("unknown enum {text}"))
            }
            (Self::List(element), Data::Vector(items)) => {
                items.iter().try_for_each(|item| element.check(item))
            }
            (Self::Set(element), Data::Set(items)) => {
                items.iter().try_for_each(|item| element.check(item))
            }
            (Self::Table(value), Data::Table(entries)) => entries.iter().try_for_each(|entry| {
                Text.check(entry.0)?;
                value.check(entry.1)
            }),
            (Self::Record(fields), Data::Vector(values)) => check_record(fields, values),
            (shape, data) => Err(format!("{} for {shape:?}", data.type_name())),
        }
    }
}

/// Surplus elements are ignored, missing ones are not (API §1.2 rule 2).
fn check_record(fields: &[(&'static str, Shape, Need)], values: &[Data]) -> Result<(), String> {
    if values.len() < fields.len() {
        return Err(format!(
            "{} elements, {} fields",
            values.len(),
            fields.len()
        ));
    }
    for ((name, shape, need), value) in fields.iter().zip(values) {
        match (value, need) {
            (Data::None, Free) => {}
            (Data::None, Filled) => return Err(format!("field {name} is nil")),
            (value, _) => shape
                .check(value)
                .map_err(|error| format!("field {name}: {error}"))?,
        }
    }
    Ok(())
}
