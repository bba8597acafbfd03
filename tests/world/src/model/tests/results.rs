//! Answers are about what was asked for: nothing more, nothing twice, nothing less.

use super::*;

#[test]
fn a_deployment_tells_of_each_of_its_nodes_once() {
    let answered = |results: &[ApiResult]| {
        let mut history = deployed();
        history.pop();
        history.push((3000, tell(deployed_ok("d1", "a", results))));
        broken(&history)
    };
    let failed = ApiResult::failed("child", "no supervisor").on_instance("i");
    assert_eq!(answered(&[up("i", "w")]), None);
    assert_eq!(answered(&[down("i", "w")]), None);
    assert_eq!(answered(&[failed]), None);
    let wrong = [
        &[][..],
        &[up("i", "w"), up("i", "w")],
        &[up("i", "w"), up("i", "v")],
        &[up("j", "w")],
    ];
    for results in wrong {
        assert_eq!(answered(results), Some(Rule::OtherResults), "{results:?}");
    }
    let late = |result: &[ApiResult]| {
        let mut history = deployed();
        history.pop();
        history.push((15_000, tell(deployed_ok("d1", "a", result))));
        broken(&history)
    };
    let timeout = ApiResult::failed("d1", "request timed out");
    assert_eq!(late(&[timeout]), None);
    // It was running already, and its agent did not tell of it in time (API §15.1, A6).
    assert_eq!(late(&[]), None);
}

#[test]
fn a_deployment_that_came_to_nothing_has_no_nodes() {
    let a = config("a", &[("i", "w")]);
    let answered = |results: Vec<ApiResult>| {
        let reqid = "d".to_owned();
        let answer = tell(Response::Deploy { reqid, results });
        let asked = [(1000, ask(deploy("d"))), (12_000, answer)];
        broken(&history(&[&staged("s", 0, &a), &asked]))
    };
    let missing = ApiResult::failed("d", "instance i is not connected").on_instance("i");
    let timeout = ApiResult::failed("d", "request timed out");
    assert_eq!(answered(vec![missing.clone(), timeout]), None);
    let wrong = [
        (vec![missing, up("i", "w")], Rule::OtherResults),
        (vec![up("i", "w")], Rule::WrongAnswer),
        (vec![], Rule::WrongAnswer),
    ];
    for (results, rule) in wrong {
        assert_eq!(answered(results.clone()), Some(rule), "{results:?}");
    }
}

#[test]
fn nodes_that_were_named_have_one_result_each_and_others_have_none() {
    let answered = |asked: &[&str], results: Vec<ApiResult>| {
        let reqid = "r".to_owned();
        let (id, nodes) = ("x".to_owned(), names(asked));
        let request = Request::GetIdValue {
            reqid: reqid.clone(),
            id,
            nodes,
        };
        let answer = tell(Response::GetIdValue { reqid, results });
        let steps = [(5000, ask(request)), (5100, answer)];
        broken(&history(&[&deployed(), &steps]))
    };
    let unknown = |node: &str| ApiResult::failed("r", "unknown cluster node").on_node(node);
    let silent = || ApiResult::failed("r", "instance i did not answer").on_node("w");
    assert_eq!(
        answered(&["w", "x"], vec![unknown("x"), up("i", "w")]),
        None
    );
    assert_eq!(answered(&["w"], vec![silent()]), None);
    assert_eq!(answered(&[], vec![up("i", "w")]), None);
    let failed = ApiResult::failed("child", "too many open requests").on_instance("i");
    assert_eq!(answered(&[], vec![failed]), None);
    let wrong = [
        (&[][..], vec![]),
        (&["w", "x"], vec![up("i", "w")]),
        (&["w"], vec![up("i", "w"), silent()]),
        (&["w"], vec![unknown("w")]),
        (&["x"], vec![unknown("x"), up("i", "w")]),
        (&["x"], vec![up("i", "x")]),
    ];
    for (asked, results) in wrong {
        let rule = answered(asked, results.clone());
        assert_eq!(rule, Some(Rule::OtherResults), "{asked:?} {results:?}");
    }
    for error in ["no cluster deployed", "no"] {
        let refused = vec![ApiResult::failed("r", error)];
        assert_eq!(answered(&["w"], refused), Some(Rule::WrongRefusal));
    }
}

#[test]
fn a_node_is_listed_once_for_each_instance() {
    let list = |nodes: &[(&str, State)]| {
        let steps = [
            (5000, ask(super::nodes("r"))),
            (5100, tell(listed("r", "i", nodes))),
        ];
        broken(&history(&[&deployed(), &steps]))
    };
    let running = ("w", State::Running);
    assert_eq!(list(&[running]), None);
    assert_eq!(list(&[running, running]), Some(Rule::OtherResults));
}

#[test]
fn instances_are_listed_that_are_there_or_left_a_short_while_ago() {
    let list = |at, rows: &[&str]| {
        let row = |name: &&str| Instance {
            name: (*name).to_owned(),
            host: "127.0.0.1".parse().unwrap(),
            listen_port: None,
        };
        let reqid = "r".to_owned();
        let data = Vec::from_iter(rows.iter().map(row)).into_data();
        let result = ApiResult::ok("r").with_data(data);
        let answer = Response::GetInstances {
            reqid: reqid.clone(),
            result,
        };
        broken(&[
            (0, start(agent("i"))),
            (0, start(agent("j"))),
            (1000, kill(agent("j"))),
            (at, ask(Request::GetInstances { reqid })),
            (at, tell(answer)),
        ])
    };
    assert_eq!(list(2000, &["i", "j"]), None);
    assert_eq!(list(90_000, &["i"]), None);
    assert_eq!(list(90_000, &["i", "j"]), Some(Rule::UnknownInstance));
    assert_eq!(list(2000, &["i", "k"]), Some(Rule::UnknownInstance));
    assert_eq!(list(2000, &["j", "i"]), Some(Rule::WrongAnswer));
}
