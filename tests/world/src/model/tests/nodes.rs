//! Which processes there may be, and what may be told of them.

use super::*;

#[test]
fn nodes_start_where_they_are_deployed() {
    assert_eq!(broken(&deployed()), None);
    for (instance, node, config) in [("j", "w", "a"), ("i", "v", "a"), ("i", "w", "b")] {
        let other = [(4000, born(2, instance, node, config))];
        let history = history(&[&deployed(), &other]);
        assert_eq!(broken(&history), Some(Rule::NotDeployed), "{node} {config}");
    }
    let a = config("a", &[("i", "w")]);
    let early = history(&[&staged("s1", 0, &a), &[(1000, born(1, "i", "w", "a"))]]);
    assert_eq!(broken(&early), Some(Rule::NotDeployed));
}

#[test]
fn a_node_has_one_process_at_a_time() {
    let twin = [(4000, born(2, "i", "w", "a"))];
    let both = history(&[&deployed(), &twin]);
    assert_eq!(broken(&both), Some(Rule::TwoProcesses));
    let next = history(&[&deployed(), &[(3500, died(1))], &twin]);
    assert_eq!(broken(&next), None);
}

#[test]
fn a_node_that_came_up_has_said_hello() {
    let without = |what: Seen| {
        let all = deployed().into_iter();
        all.filter(|(_, seen)| *seen != what).collect::<Vec<_>>()
    };
    assert_eq!(broken(&without(heard(1))), Some(Rule::NotUp));
    assert_eq!(broken(&without(born(1, "i", "w", "a"))), Some(Rule::NotUp));
    // Of the same configuration again it is the same process; of one that died before it is not.
    let again = [
        (8000, ask(deploy("d2"))),
        (8100, tell(deployed_ok("d2", "a", &[up("i", "w")]))),
    ];
    assert_eq!(broken(&history(&[&deployed(), &again])), None);
    let dead = history(&[&deployed(), &[(5000, died(1))], &again]);
    assert_eq!(broken(&dead), Some(Rule::NotUp));
}

#[test]
fn stocks_agents_may_take_the_dead_for_running() {
    let stock = || Model::new(["i".to_owned()].into());
    let listed = [
        (5000, died(1)),
        (8000, ask(nodes("r"))),
        (8100, tell(listed("r", "i", &[("w", State::Running)]))),
    ];
    let history = history(&[&deployed(), &listed]);
    assert_eq!(broken(&history), Some(Rule::NotUp));
    assert_eq!(broken_with(stock(), &history), None);
}

/// Its stem does last what it was told last, and says not what it has done (API §12.3 D50).
#[test]
fn below_a_stock_supervisor_the_start_of_an_earlier_order_may_pass_for_the_last_ones() {
    let stock = || Model::default().with_stock_supervisors(["i".to_owned()].into());
    let b = config("b", &[("i", "w")]);
    let late = taken("d2", 5000, &b, 2).map(|(at, seen)| {
        let is_birth = matches!(seen, Seen::NodeBorn { .. });
        let seen = if is_birth {
            born(2, "i", "w", "a")
        } else {
            seen
        };
        (at, seen)
    });
    let gone = [(3900, died(1))];
    let mut staged = staged("s2", 4000, &b);
    let a = prepared(&config("a", &[("i", "w")]));
    staged[1].1 = stored(Some(&b), Some(&a));
    let history = history(&[&deployed(), &gone, &staged, &late]);
    assert_eq!(broken(&history), Some(Rule::NotUp));
    assert_eq!(broken_with(stock(), &history), None);
    let silent: Vec<_> = history
        .into_iter()
        .filter(|(_, it)| *it != heard(2))
        .collect();
    assert_eq!(broken_with(stock(), &silent), Some(Rule::NotUp));
}

#[test]
fn only_the_living_are_listed_as_running() {
    let list = |state| {
        [
            (8000, ask(nodes("r"))),
            (8100, tell(listed("r", "i", &[("w", state)]))),
        ]
    };
    let alive = history(&[&deployed(), &list(State::Running)]);
    assert_eq!(broken(&alive), None);
    let just_now = history(&[&deployed(), &[(7900, died(1))], &list(State::Running)]);
    assert_eq!(broken(&just_now), None);
    let dead = [(5000, died(1))];
    let wrong = history(&[&deployed(), &dead, &list(State::Running)]);
    assert_eq!(broken(&wrong), Some(Rule::NotUp));
    let right = history(&[&deployed(), &dead, &list(State::Crashed)]);
    assert_eq!(broken(&right), None);
}

/// It has these from links that may be dead.
#[test]
fn what_an_agent_lists_without_its_supervisor_is_older() {
    let list = |at, error| {
        let Response::GetNodes { reqid, mut results } = listed("r", "i", &[("w", State::Running)])
        else {
            unreachable!("a list of nodes");
        };
        results.extend(error);
        let answer = Response::GetNodes { reqid, results };
        [(at, ask(nodes("r"))), (at + 100, tell(answer))]
    };
    let failed = |name| Some(ApiResult::failed("r", "request timed out").on_instance(name));
    let dead = |at, error| {
        broken(&history(&[
            &deployed(),
            &[(5000, died(1))],
            &list(at, error),
        ]))
    };
    assert_eq!(dead(8000, failed("i")), None);
    assert_eq!(dead(8000, failed("j")), Some(Rule::NotUp), "another one");
    assert_eq!(dead(8000, None), Some(Rule::NotUp));
    assert_eq!(dead(70_000, failed("i")), Some(Rule::NotUp), "noticed");
}

#[test]
fn old_nodes_are_gone_a_minute_after_others_came_up() {
    let b = config("b", &[("i", "v")]);
    let next = history(&[
        &deployed(),
        &staged_over("s2", 5000, &b),
        &taken("d2", 6000, &b, 2),
    ]);
    let gone = history(&[&next, &[(30_000, died(1)), (90_000, Seen::Calm)]]);
    assert_eq!(broken(&gone), None);
    let left = history(&[&next, &[(90_000, Seen::Calm)]]);
    assert_eq!(broken(&left), Some(Rule::Outdated));
    let again = history(&[&next, &[(8000, died(1)), (9000, born(3, "i", "w", "a"))]]);
    assert_eq!(broken(&again), Some(Rule::Outdated));
}

#[test]
fn a_former_configuration_may_be_deployed_again() {
    let a = config("a", &[("i", "w")]);
    let b = config("b", &[("i", "v")]);
    let back = history(&[
        &deployed(),
        &staged_over("s2", 5000, &b),
        &taken("d2", 6000, &b, 2),
        &[(7500, died(1))],
        &[
            (8000, ask(stage("s3", &a))),
            (8050, stored(Some(&a), Some(&prepared(&b)))),
            (8100, tell(staged_ok("s3", "a"))),
        ],
        &taken("d3", 9000, &a, 3),
        &[(10_500, died(2))],
    ]);
    assert_eq!(broken(&back), None);
}

#[test]
fn a_restarted_node_has_said_hello_again() {
    let restart = || {
        let reqid = "r".to_owned();
        let nodes = names(&["w"]);
        let results = vec![up("i", "w")];
        let response = Response::Restart {
            reqid: reqid.clone(),
            results,
        };
        [
            (5000, ask(Request::Restart { reqid, nodes })),
            (7000, tell(response)),
        ]
    };
    let steps = restart();
    let (asked, told) = steps.split_at(1);
    let new = [
        (5500, died(1)),
        (6000, born(2, "i", "w", "a")),
        (6500, heard(2)),
    ];
    let right = history(&[&deployed(), asked, &new, told]);
    assert_eq!(broken(&right), None);
    let wrong = history(&[&deployed(), asked, &new[..2], told]);
    assert_eq!(broken(&wrong), Some(Rule::NotRestarted));
}

#[test]
fn values_come_from_the_living() {
    let reqid = "r".to_owned();
    let ask_value = ask(Request::GetIdValue {
        reqid: reqid.clone(),
        id: "x".to_owned(),
        nodes: names(&[]),
    });
    let results = vec![up("i", "w").with_data(Data::string("1"))];
    let value = tell(Response::GetIdValue { reqid, results });
    let asked = [(5000, ask_value), (5100, value)];
    assert_eq!(broken(&history(&[&deployed(), &asked])), None);
    let dead = history(&[&deployed(), &[(4000, died(1))], &asked]);
    assert_eq!(broken(&dead), Some(Rule::NotUp));
}

/// Staged while `a` is deployed.
fn staged_over(reqid: &str, at: u64, config: &Configuration) -> [Step; 3] {
    let a = prepared(&super::config("a", &[("i", "w")]));
    [
        (at, ask(stage(reqid, config))),
        (at + 50, stored(Some(config), Some(&a))),
        (at + 100, tell(staged_ok(reqid, &config.id))),
    ]
}
