//! Who is let in and should not be, or not any more.

use super::*;

#[test]
fn a_client_that_is_neither_operator_nor_viewer_is_closed() {
    let rules = "[[rule]]\ncertificate = \"sensor-1\"\nroles = \"agent\"\n\
        [[rule]]\ncertificate = \"bob\"\nroles = [\"agent\", \"viewer\"]\n";
    let mut rig = Rig::new(rules);
    let sensor = rig.client(Some("sensor-1"));
    let bob = rig.client(Some("bob"));
    let closed: Vec<_> = rig.closed.iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(closed, [(sensor, 1008)]);
    assert_eq!(rig.audits[0].who.roles, "role agent");
    rig.asks(bob, "get_instances_request", "");
    assert_eq!(rig.texts(sensor), [""; 0]);
    assert_eq!(rig.texts(bob).len(), 1);
    // The same certificate may be an agent's.
    let agent = rig.connect(Some("sensor-1"), &[]);
    assert!(rig.is_connected(agent));
    // Other rules take the right to look away.
    let rules = "[[rule]]\nroles = \"agent\"\n";
    rig.input(Input::Policy(policy(rules)));
    assert_eq!(rig.closed.last().map(|it| it.0), Some(bob));
}

#[test]
fn an_agent_that_other_rules_give_another_name_leaves_the_one_it_has() {
    let mut rig = Rig::new(MEMBERS);
    let [first, second] = ["sensor-1", "sensor-2"].map(|name| rig.connect(Some(name), &[]));
    rig.says_hello(first, "b");
    rig.says_hello(second, "b");
    assert_eq!(rig.holder("b"), Some(rig.id(first)));
    rig.audits.clear();
    let rules = "[[rule]]\ncertificate = \"sensor-1\"\nroles = \"agent\"\nagent = \"a\"\n\
        [[rule]]\ncertificate = \"sensor-2\"\nroles = \"agent\"\nagent = \"b\"\n";
    rig.input(Input::Policy(policy(rules)));
    assert!(!rig.is_connected(first));
    assert_eq!(rig.holder("b"), Some(rig.id(second)));
    let [audit] = &rig.audits[..] else {
        panic!("{:?}", rig.audits)
    };
    assert!(audit.reason.contains("may be agent a and says it is b"));
}

#[test]
fn a_refusal_reaches_nobody_but_who_asked() {
    let mut rig = Rig::new(MEMBERS);
    let [alice, bob] = ["alice", "bob"].map(|name| rig.client(Some(name)));
    let ops = rig.connect(Some("ops"), &["zeek/management/controller"]);
    let yes = r#",{"@data-type":"boolean","data":true}"#;
    rig.asks(alice, "test_timeout_request", yes);
    for client in [alice, bob] {
        rig.texts(client);
    }
    // Under the same id, but not to be read; the second not to be done either.
    for request in ["test_timeout_request", "deploy_request"] {
        rig.asks(bob, request, "");
        let texts = rig.texts(bob);
        assert!(
            texts.len() == 1 && texts[0].contains("_response"),
            "{texts:?}"
        );
        assert_eq!(rig.texts(alice), [""; 0]);
        assert_eq!(rig.heard(ops), []);
    }
    let name = "Management::Controller::API::test_timeout_request";
    rig.publish(
        ops,
        &CONTROLLER_TOPIC,
        Event::new(name, vec![Data::string("r")]),
    );
    let answers = rig.heard(ops);
    let [answer] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(
        answer.name,
        "Management::Controller::API::test_timeout_response"
    );
    for client in [alice, bob] {
        assert_eq!(rig.texts(client), [""; 0]);
    }
    rig.pass(Duration::from_secs(11));
    let texts = rig.texts(alice);
    assert!(
        texts.len() == 1 && texts[0].contains("request timed out"),
        "{texts:?}"
    );
}

#[test]
fn what_is_told_of_an_event_is_short_however_long_its_name_is() {
    let mut rig = Rig::new(MEMBERS);
    let [alice, bob] = ["alice", "bob"].map(|name| rig.client(Some(name)));
    let agent = rig.connect(Some("sensor-1"), &[]);
    let name = format!(
        "Management::Controller::API::{}_request",
        "ä".repeat(1 << 19)
    );
    rig.longest = 0;
    for (topic, client) in [
        ("zeek/management/controller", alice),
        ("zeek/management/controller", bob),
        ("zeek/supervisor", alice),
    ] {
        rig.asks_on(topic, client, &name, "");
        let texts = rig.texts(client);
        assert_eq!(texts.len(), 1, "{topic} {client}");
    }
    rig.publish(
        agent,
        &CONTROLLER_TOPIC,
        Event::new(&name, vec![Data::string("r")]),
    );
    assert_eq!(rig.audits.len(), 3);
    assert!(rig.longest < 8192, "{}", rig.longest);
}
