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
