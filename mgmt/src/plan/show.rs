//! A plan for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::nodes::role_name;
use super::{InstanceAction, InstanceStep, NodeAction, NodeStep, Plan};

/// The plan as lines of text, ending with what comes of it.
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let instances: Vec<[String; 3]> = plan.instances.iter().map(instance_row).collect();
    put_table(&mut out, "instances", &instances);
    let nodes: Vec<[String; 6]> = plan.nodes.iter().map(node_row).collect();
    put_table(&mut out, "nodes", &nodes);
    let lists = [
        ("warnings", &plan.warnings),
        ("not taking part", &plan.missing),
        ("refused", &plan.refusals),
    ];
    for (title, texts) in lists {
        let rows: Vec<[String; 1]> = texts.iter().map(|text| [text.clone()]).collect();
        put_table(&mut out, title, &rows);
    }
    let count = |action| plan.nodes.iter().filter(|n| n.action == action).count();
    let (start, restart) = (count(NodeAction::Start), count(NodeAction::Restart));
    let (stop, later) = (count(NodeAction::Stop), count(NodeAction::Later));
    let mut counts =
        format!("{start} to start, {restart} to restart, {stop} to stop, {later} later");
    let keep = count(NodeAction::Keep);
    if keep > 0 {
        counts.push_str(&format!(", {keep} to keep"));
    }
    let verdict = if !plan.refusals.is_empty() {
        "The controller would refuse this configuration.".to_owned()
    } else if plan.instances.is_empty() && !plan.missing.is_empty() {
        "The deployment would time out and change nothing.".to_owned()
    } else if plan.is_deployable() {
        format!("This can be deployed: {counts}.")
    } else {
        format!("This can be deployed in part: {counts}.")
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{verdict}");
    out
}

/// The plan as one JSON object.
pub fn json(plan: &Plan) -> Value {
    let instances = plan.instances.iter().map(|step| {
        json!({
            "name": step.name,
            "action": instance_action(step.action),
            "host": step.host.map(|host| host.to_string()),
            "port": step.listen_port.map(|port| port.number),
            "connected": step.is_connected,
        })
    });
    let nodes = plan.nodes.iter().map(|step| {
        json!({
            "name": step.name,
            "instance": step.instance,
            "role": role_name(step.role),
            "action": node_action(step.action),
            "port": step.port.map(|port| port.number),
            "metrics_port": step.metrics_port.map(|port| port.number),
            "changes": step.changes,
        })
    });
    json!({
        "deployable": plan.is_deployable(),
        "refusals": plan.refusals,
        "missing": plan.missing,
        "warnings": plan.warnings,
        "instances": instances.collect::<Vec<Value>>(),
        "nodes": nodes.collect::<Vec<Value>>(),
    })
}

fn instance_row(step: &InstanceStep) -> [String; 3] {
    let host = step.host.map(|host| host.to_string());
    let place = match (host, step.listen_port, step.is_connected) {
        (Some(host), None, true) => format!("at {host}"),
        (None, None, true) => "connected".to_owned(),
        (_, None, false) => "not connected".to_owned(),
        (host, Some(port), true) => {
            format!("dialed at {} port {port}", host.unwrap_or_default())
        }
        (host, Some(port), false) => {
            format!("to be dialed at {} port {port}", host.unwrap_or_default())
        }
    };
    [
        instance_action(step.action).to_owned(),
        step.name.clone(),
        place,
    ]
}

fn node_row(step: &NodeStep) -> [String; 6] {
    let port = step.port.map_or_else(String::new, |p| format!("port {p}"));
    let metrics = step.metrics_port;
    let metrics = metrics.map_or_else(String::new, |p| format!("metrics {p}"));
    let details = match step.action {
        NodeAction::Restart if step.changes.is_empty() => "unchanged".to_owned(),
        NodeAction::Keep => "unchanged".to_owned(),
        NodeAction::Later => "when its instance is connected".to_owned(),
        NodeAction::Start | NodeAction::Stop | NodeAction::Restart => step.changes.join(", "),
    };
    [
        node_action(step.action).to_owned(),
        step.name.clone(),
        format!("{} on {}", role_name(step.role), step.instance),
        port,
        metrics,
        details,
    ]
}

fn instance_action(action: InstanceAction) -> &'static str {
    match action {
        InstanceAction::Keep => "keep",
        InstanceAction::Add => "add",
        InstanceAction::Reconnect => "reconnect",
        InstanceAction::Drop => "drop",
    }
}

fn node_action(action: NodeAction) -> &'static str {
    match action {
        NodeAction::Start => "start",
        NodeAction::Keep => "keep",
        NodeAction::Restart => "restart",
        NodeAction::Stop => "stop",
        NodeAction::Later => "later",
    }
}

/// Rows under a title, in columns; nothing if there are none.
pub(crate) fn put_table<const N: usize>(out: &mut String, title: &str, rows: &[[String; N]]) {
    if rows.is_empty() {
        return;
    }
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{title}:");
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            if *width > 0 {
                let _ = write!(line, "  {cell:width$}");
            }
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
