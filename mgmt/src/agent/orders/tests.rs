//! Orders reach the supervisor in its own layout, in order, or in the youngest in the end.

use broker_proto::Table;

use super::super::tests::start;
use super::*;

#[test]
fn a_supervisor_that_shows_nothing_is_asked_in_every_layout_and_orders_wait_in_order() {
    let (mut orders, now) = (orders(), start());
    let probes = orders.order(now, create("w1"));
    let lengths: Vec<_> = probes.iter().map(|probe| fields(probe).len()).collect();
    assert_eq!(lengths, [12, 13, 12, 10]);
    assert_eq!(orders.order(now, destroy("w1")), []);
    let (reqid, node) = ("s".to_owned(), String::new());
    assert_eq!(
        orders.order(now, SupervisorRequest::Status { reqid, node }),
        []
    );

    let refused = "node names must not be an empty string";
    let args = vec![probes[2].args[0].clone(), Data::string(refused)];
    let answer = answer("create_response", args);
    let sent = orders.learn(&answer);
    let names: Vec<_> = sent.iter().map(|event| event.name.as_str()).collect();
    let names_want = ["create_request", "destroy_request", "status_request"];
    assert_eq!(
        names,
        names_want.map(|name| format!("SupervisorControl::{name}"))
    );
    // 5.1: name, interface, directory, stdout_file, stderr_file, bare_mode, addl_base_scripts.
    assert_eq!(fields(&sent[0])[6], Data::Vector(vec![]));
    assert!(!orders.is_curious());
    assert_eq!(fields(&orders.order(now, create("w2"))[0]).len(), 12);

    orders.forget();
    assert_eq!(
        orders.order(now, create("w1")).len(),
        4,
        "another one may come"
    );
}

#[test]
fn what_a_supervisor_lists_shows_its_layout() {
    let (mut orders, now) = (orders(), start());
    let node = NodeConfig::named("w1").into_data_as(Layout::V4_1);
    let row = Data::Vector(vec![node, Data::None]);
    let table = Table::from([(Data::string("w1"), row)]);
    let status = Data::Vector(vec![Data::Table(table)]);
    let status = answer("status_response", vec![Data::string("s"), status]);
    assert_eq!(orders.learn(&status), []);
    assert_eq!(fields(&orders.order(now, create("w2"))[0]).len(), 10);
}

#[test]
fn empty_metadata_are_a_sign_of_the_youngest_layout_whatever_is_listed() {
    let (mut orders, now) = (orders(), start());
    let mut status = answer("status_response", vec![]);
    status.metadata = Some(vec![]);
    orders.learn(&status);
    assert_eq!(orders.order(now, create("w1")).len(), 1);
}

#[test]
fn only_a_supervisor_with_empty_metadata_is_asked_for_a_short_status() {
    let asked = |orders: &mut Orders| {
        let (reqid, node) = ("s".to_owned(), String::new());
        let sent = orders.order(start(), SupervisorRequest::Status { reqid, node });
        let [event] = sent.as_slice() else {
            panic!("not one event: {sent:?}");
        };
        event.metadata.clone()
    };
    let (plain, short) = (Some(vec![]), Some(vec![(2149, Data::Boolean(true))]));
    let mut orders = orders();
    assert_eq!(asked(&mut orders), plain);

    let probes = orders.order(start(), create("w1"));
    let args = vec![probes[0].args[0].clone(), Data::string("no name")];
    orders.learn(&answer("create_response", args));
    assert_eq!(asked(&mut orders), plain, "as from Zeek 7");

    orders.forget();
    let mut status = answer("status_response", vec![]);
    status.metadata = Some(vec![]);
    orders.learn(&status);
    assert_eq!(asked(&mut orders), short);
    let destroy = orders.order(start(), destroy("w1"));
    assert_eq!(destroy[0].metadata, plain);

    orders.forget();
    assert_eq!(asked(&mut orders), plain, "another one may come");
}

#[test]
fn a_supervisor_that_answers_no_question_is_sent_the_youngest_layout_in_the_end() {
    let (mut orders, now) = (orders(), start());
    let probes = orders.order(now, create("w1"));
    let deadline = orders.poll_timeout().unwrap();
    assert_eq!(deadline, now + PATIENCE);
    let stranger = answer("create_response", vec![Data::string("x"), Data::string("")]);
    assert_eq!(orders.learn(&stranger), []);
    assert_eq!(orders.handle_timeout(now), []);
    let sent = orders.handle_timeout(deadline);
    assert_eq!(fields(&sent[0]).len(), 12);
    assert_eq!(orders.poll_timeout(), None);
    assert_eq!(fields(&orders.order(deadline, create("w2"))[0]).len(), 12);

    // It was only slow.
    let args = vec![probes[3].args[0].clone(), Data::string("no name")];
    assert_eq!(orders.learn(&answer("create_response", args)), []);
    assert_eq!(fields(&orders.order(deadline, create("w3"))[0]).len(), 10);
}

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn news_of_a_node_are_a_sign_too_and_other_peoples_events_are_none() {
    for (kind, requests) in [("node_status", 1), ("stop_request", 4)] {
        let (mut orders, now) = (orders(), start());
        let mut event = answer(kind, vec![]);
        event.metadata = Some(vec![]);
        orders.learn(&event);
        assert_eq!(orders.order(now, create("w1")).len(), requests, "{kind}");
    }
}

fn orders() -> Orders {
    Orders::new(IdGen::new(1), PATIENCE)
}

fn create(node: &str) -> SupervisorRequest {
    let (reqid, node) = (node.to_owned(), NodeConfig::named(node));
    SupervisorRequest::Create { reqid, node }
}

fn destroy(node: &str) -> SupervisorRequest {
    let (reqid, node) = (node.to_owned(), node.to_owned());
    SupervisorRequest::Destroy { reqid, node }
}

/// As Zeek 5 and, through its cluster backend, 8.1 publish.
fn answer(kind: &str, args: Vec<Data>) -> Event {
    Event {
        name: format!("SupervisorControl::{kind}"),
        args,
        metadata: None,
    }
}

fn fields(event: &Event) -> Vec<Data> {
    let Some(Data::Vector(fields)) = event.args.get(1) else {
        panic!("no record: {event:?}");
    };
    fields.clone()
}
