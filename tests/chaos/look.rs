//! Whether everything is as it should be: what the controller tells, and what `/proc` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::configuration::{self, NUMBER, Sensor};
use crate::host::{Host, Kind, Running};
use crate::load::Client;
use crate::network::HostId;

/// By instance and name: state and process.
type Nodes = BTreeMap<(String, String), (String, i32)>;

/// Looks once.
///
/// # Errors
/// With the first thing that is not as it should be.
pub(crate) fn look(
    client: &Client,
    hosts: &[Host],
    sensors: &[Sensor],
    deployments: &RangeInclusive<u64>,
) -> Result<(), String> {
    let names: BTreeSet<String> = sensors.iter().map(|it| it.name.clone()).collect();
    let instances: BTreeSet<String> = match ask(client, &["get-instances"])? {
        Value::Object(instances) => instances.into_iter().map(|(name, _)| name).collect(),
        other => return Err(format!("get-instances says {other}")),
    };
    if instances != names {
        return Err(format!("get-instances has {instances:?}, not {names:?}"));
    }
    let deployed = deployed(&ask(client, &["get-config", "--deployed", "--as-json"])?)?;
    if !deployments.contains(&deployed) {
        return Err(format!(
            "deployment {deployed} is in force, but should be one of {deployments:?}"
        ));
    }
    let nodes = nodes(&ask(client, &["get-nodes"])?)?;
    let expected = configuration::nodes(deployed, sensors);
    let expected: BTreeSet<_> = expected.into_iter().map(|(node, on)| (on, node)).collect();
    let listed: BTreeSet<_> = nodes.keys().cloned().collect();
    if listed != expected {
        return Err(format!("get-nodes has {listed:?}, not {expected:?}"));
    }
    if let Some(((_, node), (state, _))) = nodes.iter().find(|(_, node)| node.0 != "RUNNING") {
        return Err(format!("{node} is {state}"));
    }
    hosts
        .iter()
        .try_for_each(|host| processes(host, deployed, &nodes))
}

fn ask(client: &Client, args: &[&str]) -> Result<Value, String> {
    let done = client.run(args).map_err(|error| error.to_string())?;
    let json: Result<Value, _> = serde_json::from_str(&done.stdout);
    let json = json.map_err(|_| format!("{args:?} says {}{}", done.stdout, done.stderr))?;
    match json.get("errors").and_then(Value::as_array) {
        Some(errors) if !errors.is_empty() => Err(format!("{args:?} says {errors:?}")),
        _ => Ok(json),
    }
}

/// The number of the configuration.
fn deployed(config: &Value) -> Result<u64, String> {
    let nodes = config.get("nodes").and_then(Value::as_array);
    let number = |node: &Value| node.get("env")?.get(NUMBER)?.as_str()?.parse().ok();
    let numbers: BTreeSet<Option<u64>> = nodes.into_iter().flatten().map(number).collect();
    match numbers.iter().collect::<Vec<_>>().as_slice() {
        [Some(number)] => Ok(*number),
        _ => Err(format!(
            "get-config has a mixture of deployments: {numbers:?}"
        )),
    }
}

/// The cluster's nodes; those of the management are left out.
fn nodes(answer: &Value) -> Result<Nodes, String> {
    let instances = answer.get("results").and_then(Value::as_object);
    let mut found = Nodes::new();
    for (instance, nodes) in instances.into_iter().flatten() {
        for (name, node) in nodes.as_object().into_iter().flatten() {
            if node.get("cluster_role").is_none_or(Value::is_null) {
                continue;
            }
            let state = node.get("state").and_then(Value::as_str);
            let pid = node.get("pid").and_then(Value::as_i64);
            let pid = pid.and_then(|pid| i32::try_from(pid).ok());
            let state = state.ok_or_else(|| format!("{name} has no state: {node}"))?;
            let node = (state.to_owned(), pid.unwrap_or_default());
            found.insert((instance.clone(), name.clone()), node);
        }
    }
    Ok(found)
}

/// One process for each program and node, and none besides.
fn processes(host: &Host, deployed: u64, nodes: &Nodes) -> Result<(), String> {
    let running = host.running();
    let own = host.id.name();
    let expected: Vec<(&String, i32)> = nodes
        .iter()
        .filter(|((instance, _), _)| *instance == own)
        .map(|((_, node), (_, pid))| (node, *pid))
        .collect();
    let (programs, each): (&[Kind], usize) = match host.id {
        HostId::CONTROLLER => (&[Kind::Controller], 1),
        _ => (&[Kind::Supervisor, Kind::Agent], 1),
    };
    let wrong = |text: &str| Err(format!("{own}: {text}: {running:?}"));
    let count = |kind| running.iter().filter(|it| it.kind == Some(kind)).count();
    if programs.iter().any(|kind| count(*kind) != each) {
        return wrong("a program is not there, or twice");
    }
    if count(Kind::Stem) != expected.len() {
        return wrong("not one stem for each node");
    }
    if running.len() != programs.len() + 2 * expected.len() {
        return wrong("other processes than should be there");
    }
    for (node, pid) in expected {
        let named = |it: &&Running| it.node.as_deref() == Some(node);
        let pids: Vec<i32> = running.iter().filter(named).map(|it| it.pid).collect();
        if pids != [pid] {
            return Err(format!(
                "{own}: {node} is {pid} to the controller, but really {pids:?}"
            ));
        }
        if !is_of(pid, deployed) {
            return Err(format!("{own}: {node} is not of deployment {deployed}"));
        }
    }
    match zombies(&running) {
        0 => Ok(()),
        dead => wrong(&format!("{dead} dead children that nobody waits for")),
    }
}

fn is_of(pid: i32, deployed: u64) -> bool {
    let wanted = format!("{NUMBER}={deployed}");
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|it| it == wanted.as_bytes())
}

fn zombies(parents: &[Running]) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let stats = pids.filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    let dead = stats.filter_map(|stat| {
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.strip_prefix("Z ")?
            .split(' ')
            .next()?
            .parse::<i32>()
            .ok()
    });
    dead.filter(|parent| parents.iter().any(|it| it.pid == *parent))
        .count()
}
