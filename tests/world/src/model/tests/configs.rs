//! What is staged and deployed: only what somebody asked for, and told only when it is stored.

use super::*;

#[test]
fn what_is_staged_is_shown_until_something_else_is() {
    let [a, b] = ["a", "b"].map(|id| config(id, &[("i", "w")]));
    let both = history(&[&staged("s1", 0, &a), &staged("s2", 1000, &b)]);
    let asked = [(2000, ask(show("g", false)))];
    let right = [(2001, tell(shown("g", &b)))];
    assert_eq!(broken(&history(&[&both, &asked, &right])), None);
    let stale = [(2001, tell(shown("g", &a)))];
    let stale = history(&[&both, &asked, &stale]);
    assert_eq!(broken(&stale), Some(Rule::StaleConfiguration));
    let none = [(
        2001,
        tell(shown_none("g", "no staged configuration available")),
    )];
    let none = history(&[&both, &asked, &none]);
    assert_eq!(broken(&none), Some(Rule::WrongRefusal));
}

#[test]
fn who_asks_meanwhile_may_be_shown_either() {
    let [a, b] = ["a", "b"].map(|id| config(id, &[("i", "w")]));
    for (shown_one, expected) in [(&a, None), (&b, None)] {
        let history = history(&[
            &staged("s1", 0, &a),
            &[(1000, ask(show("g", false))), (1000, ask(stage("s2", &b)))],
            &[(1050, stored(Some(&b), None))],
            &[
                (1060, tell(shown("g", shown_one))),
                (1100, tell(staged_ok("s2", "b"))),
            ],
        ]);
        assert_eq!(broken(&history), expected, "{}", shown_one.id);
    }
}

#[test]
fn nothing_is_shown_as_deployed_before_it_is() {
    let a = config("a", &[("i", "w")]);
    let none = "no deployed configuration available";
    let asked = [(1500, ask(show("g", true)))];
    let before = history(&[&staged("s1", 1000, &a), &asked]);
    let right = history(&[&before, &[(1501, tell(shown_none("g", none)))]]);
    assert_eq!(broken(&right), None);
    let wrong = history(&[&before, &[(1501, tell(shown("g", &prepared(&a))))]]);
    assert_eq!(broken(&wrong), Some(Rule::StaleConfiguration));
}

#[test]
fn success_is_not_told_before_it_is_stored() {
    let a = config("a", &[("i", "w")]);
    let early = [(0, ask(stage("s", &a))), (1, tell(staged_ok("s", "a")))];
    assert_eq!(broken(&early), Some(Rule::NotStored));
    let deployed = history(&[
        &staged("s1", 1000, &a),
        &[
            (2000, ask(deploy("d"))),
            (2001, tell(deployed_ok("d", "a", &[]))),
        ],
    ]);
    assert_eq!(broken(&deployed), Some(Rule::NotStored));
}

#[test]
fn what_is_stored_is_not_told_to_have_failed() {
    let a = config("a", &[("i", "w")]);
    let asked = [(0, ask(stage("s", &a))), (50, stored(Some(&a), None))];
    let failed = |reason: &str| {
        let error = format!("cannot store the staged configuration: {reason}");
        [(100, tell(staged_failed("s", &error)))]
    };
    let wrong = history(&[&asked, &failed("no space")]);
    assert_eq!(broken(&wrong), Some(Rule::NotStored));
    let late = history(&[&asked, &failed("the disk has not answered in time")]);
    assert_eq!(broken(&late), None);
}

#[test]
fn a_save_that_was_late_may_still_be_stored_and_one_that_failed_may_not() {
    let a = config("a", &[("i", "w")]);
    let after = |reason: &str| {
        let error = format!("cannot store the staged configuration: {reason}");
        [
            (0, ask(stage("s", &a))),
            (10_000, tell(staged_failed("s", &error))),
            (11_000, stored(Some(&a), None)),
        ]
    };
    assert_eq!(broken(&after("the disk has not answered in time")), None);
    assert_eq!(broken(&after("no space")), Some(Rule::NotAskedFor));
}

#[test]
fn nothing_is_stored_that_nobody_staged_or_deployed() {
    let [a, b] = ["a", "b"].map(|id| config(id, &[("i", "w")]));
    let staged_a = staged("s1", 0, &a);
    let cases = [
        [(1000, stored(Some(&b), None))],
        [(1000, stored(Some(&a), Some(&prepared(&a))))],
        [(1000, stored(None, None))],
    ];
    for case in cases {
        let history = history(&[&staged_a, &case]);
        assert_eq!(broken(&history), Some(Rule::NotAskedFor), "{case:?}");
    }
}

#[test]
fn what_is_deployed_is_what_was_staged_with_ports() {
    let a = config("a", &[("i", "w"), ("i", "v")]);
    let b = config("b", &[("i", "w"), ("i", "v")]);
    let asked = history(&[&staged("s1", 0, &a), &[(1000, ask(deploy("d")))]]);
    let mut renamed = prepared(&a);
    renamed.id = "c".to_owned();
    let mut doubled = a.clone();
    let with_port = |mut node: Node| {
        node.metrics_port = Some(Port::tcp(9000));
        node
    };
    doubled.nodes = a.nodes.iter().cloned().map(with_port).collect();
    for wrong in [&prepared(&b), &a, &renamed, &doubled] {
        let history = history(&[&asked, &[(1050, stored(Some(&a), Some(wrong)))]]);
        assert_eq!(broken(&history), Some(Rule::NotAskedFor), "{wrong:?}");
    }
    let done = tell(deployed_ok("d", "a", &[down("i", "v"), down("i", "w")]));
    let right = [(1050, stored(Some(&a), Some(&prepared(&a)))), (2000, done)];
    assert_eq!(broken(&history(&[&asked, &right])), None);
}

#[test]
fn who_left_may_still_have_one_deployment_and_only_soon() {
    let [a, b] = ["a", "b"].map(|id| config(id, &[("i", "w")]));
    let client = Client(1);
    let left = [
        (1000, ask(deploy("d"))),
        (1001, Seen::ClientGone { client }),
    ];
    let save = |at| [(at, stored(Some(&a), Some(&prepared(&a))))];
    let left = history(&[&staged("s1", 0, &a), &left]);
    assert_eq!(broken(&history(&[&left, &save(60_000)])), None);
    let late = history(&[&left, &save(200_000)]);
    assert_eq!(broken(&late), Some(Rule::NotAskedFor));
    let second = [
        (3000, ask(stage("s2", &b))),
        (3050, stored(Some(&b), Some(&prepared(&a)))),
        (3100, tell(staged_ok("s2", "b"))),
        (4000, stored(Some(&b), Some(&prepared(&b)))),
    ];
    let twice = |n| broken(&history(&[&left, &save(2000), &second[..n]]));
    assert_eq!(twice(3), None);
    assert_eq!(twice(4), Some(Rule::NotAskedFor));
}

#[test]
fn addresses_that_were_unknown_may_be_learned_later_and_no_others() {
    let mut a = config("a", &[("i", "w")]);
    let at = |config: &Configuration, host: &str| {
        let host = host.parse().unwrap();
        let instances = config.instances.iter().cloned();
        Configuration {
            instances: instances.map(|it| Instance { host, ..it }).collect(),
            ..config.clone()
        }
    };
    a = at(&a, "0.0.0.0");
    let unknown = prepared(&a);
    let [known, moved] = ["10.0.0.1", "10.0.0.2"].map(|host| at(&unknown, host));
    let deployed = history(&[
        &staged("s1", 0, &a),
        &[
            (1000, ask(deploy("d"))),
            (1050, stored(Some(&a), Some(&unknown))),
            (1100, tell(deployed_ok("d", "a", &[down("i", "w")]))),
            (2000, stored(Some(&a), Some(&known))),
        ],
    ]);
    assert_eq!(broken(&deployed), None);
    let moved = history(&[&deployed, &[(3000, stored(Some(&a), Some(&moved)))]]);
    assert_eq!(broken(&moved), Some(Rule::NotAskedFor));

    // That is not what somebody who deploys waits for, though it might be.
    let b = config("b", &[("i", "w")]);
    let ready = prepared(&b);
    let asked = [(1500, ask(stage("s2", &b))), (1500, ask(deploy("d2")))];
    let next = [
        (2050, stored(Some(&b), Some(&known))),
        (2060, tell(staged_ok("s2", "b"))),
        (2100, stored(Some(&b), Some(&ready))),
        (2200, tell(deployed_ok("d2", "b", &[down("i", "w")]))),
    ];
    let (before, learned) = deployed.split_at(deployed.len() - 1);
    assert_eq!(broken(&history(&[before, &asked, learned, &next])), None);
}

#[test]
fn what_a_crash_interrupted_is_stored_before_the_start_or_never() {
    let a = config("a", &[("i", "w")]);
    let crash = [(0, ask(stage("s", &a))), (1, kill(Program::Controller))];
    let save = [(2, stored(Some(&a), None))];
    let start = [(2, start(Program::Controller))];
    let before = history(&[&crash, &save, &start]);
    assert_eq!(broken(&before), None);
    let after = history(&[&crash, &start, &save]);
    assert_eq!(broken(&after), Some(Rule::NotAskedFor));
}

#[test]
fn wrong_configurations_are_refused_and_right_ones_are_not() {
    let right = config("a", &[("i", "w")]);
    let mut wrong = right.clone();
    wrong.instances.clear();
    let text = "node 'w' has undeclared instance name 'i'";
    let refused = |config: &Configuration| {
        [
            (0, ask(stage("s", config))),
            (1, tell(staged_failed("s", text))),
        ]
    };
    assert_eq!(broken(&refused(&wrong)), None);
    assert_eq!(broken(&refused(&right)), Some(Rule::WrongRefusal));
    assert_eq!(broken(&staged("s", 0, &wrong)), Some(Rule::WrongRefusal));
}

#[test]
fn a_deployment_is_refused_for_what_is_so() {
    let a = config("a", &[("i", "w")]);
    let refused = |error: &str| {
        [
            (5000, ask(deploy("d2"))),
            (5001, tell(deployed_failed("d2", error))),
        ]
    };
    let none = refused("no configuration available to deploy");
    let pending = refused("earlier deployment d1 still pending");
    assert_eq!(broken(&none), None);
    assert_eq!(broken(&pending), Some(Rule::WrongRefusal));
    let own = refused("earlier deployment d2 still pending");
    assert_eq!(broken(&own), Some(Rule::WrongRefusal));
    assert_eq!(broken(&refused("no")), Some(Rule::WrongRefusal));
    let idle = deployed();
    assert_eq!(broken(&history(&[&idle, &none])), Some(Rule::WrongRefusal));
    assert_eq!(
        broken(&history(&[&idle, &pending])),
        Some(Rule::WrongRefusal)
    );
    let done = tell(deployed_failed("d1", "request timed out"));
    let busy = history(&[
        &staged("s1", 1000, &a),
        &[(2000, ask(deploy("d1")))],
        &pending,
        &[(12_000, done)],
    ]);
    assert_eq!(broken(&busy), None);
}
