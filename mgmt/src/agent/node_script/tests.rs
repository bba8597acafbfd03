//! No Zeek is at hand here, so what can be told from the text is: that the script declares what the
//! API has, and says what the API says.

use super::*;
use crate::agent::Output;
use crate::agent::tests::{Rig, config, deploy_request, node, order_id, settings, status};
use crate::api::NODE_TOPIC;
use crate::model::ClusterRole;
use crate::settings::AgentSettings;
use supervisor::api::{SupervisorRequest, SupervisorResponse};

const API: &str = include_str!("../../../API.md");

#[test]
fn the_script_declares_the_events_of_the_node_api_argument_by_argument() {
    let rows: Vec<Vec<&str>> = rows("### 2.3 ");
    assert_eq!(rows.len(), 3, "{rows:?}");
    let script = one_line(text("node.zeek"));
    for row in rows {
        let name = row[0].trim_matches('`');
        // The document says what ids are once, and which field of a result is filled in.
        let arguments = row[1].replacen("reqid,", "reqid: string,", 1);
        let arguments = arguments.replace("Result(node)", "Management::Result");
        let declaration = format!("global {name}: event({arguments});");
        assert!(script.contains(&declaration), "no {declaration}");
    }
}

#[test]
fn the_scripts_result_has_the_fields_of_the_api_in_their_order() {
    let rows = rows("### 1.4 ");
    let row = rows.iter().find(|row| row[0] == "`Result`").unwrap();
    let fields: Vec<String> = row[1]
        .split(", ")
        .map(|field| {
            let (name, kind) = field.split_once(": ").unwrap();
            match kind.strip_suffix(" ?") {
                Some(kind) => format!("{name}: {kind} &optional;"),
                None => match kind.split_once(" = ") {
                    Some((kind, value)) => format!("{name}: {kind} &default={value};"),
                    None => format!("{name}: {kind};"),
                },
            }
        })
        .collect();
    let script = text("node.zeek");
    let (_, body) = script.split_once("type Result: record {").unwrap();
    let (body, _) = body.split_once("};").unwrap();
    let lines = body.lines().map(str::trim);
    let declared: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert_eq!(declared, fields);
}

#[test]
fn the_script_fails_in_the_words_of_the_api() {
    let script = text("node.zeek");
    // API §6 N5, N6.
    for error in [
        "no dispatch arguments provided",
        "dispatch %s unknown",
        "get_id_value expects name of global identifier",
        "unknown id",
        "no ID value",
    ] {
        assert!(API.contains(&format!("`{error}`")), "{error}");
        assert!(script.contains(&format!("\"{error}\"")), "{error}");
    }
}

#[test]
fn the_script_has_the_topic_the_roles_and_the_port_of_the_api() {
    let script = one_line(text("settings.zeek"));
    let roles = rows("### 1.3 ");
    let roles = roles.iter().find(|row| row[0] == "`Management::Role`");
    for declaration in [
        format!("const node_topic = \"{NODE_TOPIC}\" &redef;"),
        format!("type Role: enum {{ {} }};", roles.unwrap()[1]),
        "const role = Management::NODE &redef;".to_owned(),
        "const default_port = 2151/tcp &redef;".to_owned(),
        "getenv(\"ZEEK_AGENT_ADDR\")".to_owned(),
        "getenv(\"ZEEK_AGENT_PORT\")".to_owned(),
    ] {
        assert!(script.contains(&declaration), "no {declaration}");
    }
    assert!(text("node.zeek").contains(LOG_QUEUE_VARIABLE));
}

#[test]
fn the_first_file_loads_all_others() {
    let (first, others) = FILES.split_first().unwrap();
    assert_eq!(first.0, "__load__.zeek");
    for (name, _) in others {
        let name = name.strip_suffix(".zeek").unwrap();
        assert!(first.1.contains(&format!("@load ./{name}\n")), "{name}");
    }
}

#[test]
fn nodes_load_the_script_last_and_are_told_where_rotated_logs_go() {
    let queue = (LOG_QUEUE_VARIABLE.to_owned(), "/srv/queue".to_owned());
    let mut rig = Rig::with(AgentSettings {
        node_script: "/srv/own/__load__.zeek".to_owned(),
        node_env: vec![queue.clone()],
        ..settings()
    });
    rig.drain();
    let mut worker = node("worker", ClusterRole::Worker, None);
    worker.scripts = Some(vec!["local".to_owned()]);
    let asked = rig.ask(deploy_request("r1", config("c1", vec![worker])));
    let reqid = order_id(&asked[0]);
    let result = status([]);
    let ordered = rig.supervisor(SupervisorResponse::Status { reqid, result });
    let [Output::ToSupervisor { request }] = &ordered[..] else {
        panic!("not one order: {ordered:?}");
    };
    let SupervisorRequest::Create { node: created, .. } = request.clone() else {
        panic!("no node is created: {request:?}");
    };
    assert_eq!(
        created.addl_user_scripts,
        ["local", "/srv/own/__load__.zeek"]
    );
    assert_eq!(created.env.into_iter().collect::<Vec<_>>(), [queue]);
}

fn text(name: &str) -> &'static str {
    let file = FILES.iter().find(|(file, _)| *file == name);
    file.unwrap().1
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cells of the table in a section of the document, without its head.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = API.split_once(&format!("\n{section}")).unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let lines = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cells = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
    cells.collect()
}
