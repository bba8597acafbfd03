//! What must be when nothing fails any more.

use super::*;

/// Since `deployed()` and calm.
const SETTLED: u64 = 140_000;

#[test]
fn what_is_deployed_runs_in_the_end() {
    let calm = [(4000, Seen::Calm)];
    let end = |steps: &[Step]| {
        let mut model = Model::default();
        for (at, seen) in history(&[&deployed(), &calm, steps]) {
            model.see(ms(at), &seen).unwrap();
        }
        assert_eq!(model.settles(), Some(ms(94_000)));
        model.end(ms(SETTLED), &names(&[])).err().map(|it| it.rule)
    };
    assert_eq!(end(&[]), None);
    assert_eq!(end(&[(5000, died(1))]), Some(Rule::NotSettled));
    let silent = [(5000, died(1)), (6000, born(2, "i", "w", "a"))];
    assert_eq!(end(&silent), Some(Rule::NotSettled));
    let back = history(&[&silent, &[(7000, heard(2))]]);
    assert_eq!(end(&back), None);
    // Nobody can start a node where there is no agent.
    assert_eq!(end(&[(5000, died(1)), (6000, kill(agent("i")))]), None);
}

#[test]
fn nothing_else_runs_in_the_end() {
    let b = config("b", &[("j", "v")]);
    let a = prepared(&config("a", &[("i", "w")]));
    let history = history(&[
        &deployed(),
        &[
            (5000, ask(stage("s2", &b))),
            (5050, stored(Some(&b), Some(&a))),
            (5100, tell(staged_ok("s2", "b"))),
        ],
        &taken("d2", 6000, &b, 2),
        &[(8000, Seen::Calm)],
    ]);
    let end = |steps: &[Step]| {
        let mut model = Model::default();
        for (at, seen) in super::history(&[&history, steps]) {
            model.see(ms(at), &seen).unwrap();
        }
        model.end(ms(SETTLED), &names(&[])).err().map(|it| it.rule)
    };
    assert_eq!(end(&[]), Some(Rule::NotSettled));
    assert_eq!(end(&[(9000, died(1))]), None);
    let excused = |instance| {
        let mut model = Model::default();
        for (at, seen) in &history {
            model.see(ms(*at), seen).unwrap();
        }
        let end = model.end(ms(SETTLED), &names(&[instance]));
        end.err().map(|it| it.rule)
    };
    assert_eq!(excused("i"), None);
    assert_eq!(excused("j"), Some(Rule::NotSettled));
}

#[test]
fn whoever_asks_in_the_end_is_told_that_all_is_well() {
    let calm = [(4000, Seen::Calm)];
    let asked = |request: Request, response: Response| {
        let steps = [(SETTLED, ask(request)), (SETTLED, tell(response))];
        broken(&history(&[&deployed(), &calm, &steps]))
    };
    let list = |state| asked(nodes("r"), listed("r", "i", &[("w", state)]));
    assert_eq!(list(State::Running), None);
    assert_eq!(list(State::Pending), Some(Rule::NotSettled));
    let deployment = |result| asked(deploy("d2"), deployed_ok("d2", "a", &[result]));
    assert_eq!(deployment(up("i", "w")), None);
    assert_eq!(deployment(down("i", "w")), Some(Rule::NotSettled));
    let failed = asked(
        deploy("d2"),
        deployed_failed("d2", "cannot store the deployed configuration: no space"),
    );
    assert_eq!(failed, Some(Rule::NotSettled));
    let value = |results: Vec<ApiResult>| {
        let reqid = || "r".to_owned();
        let (id, nodes) = ("x".to_owned(), names(&[]));
        let request = Request::GetIdValue {
            reqid: reqid(),
            id,
            nodes,
        };
        let reqid = reqid();
        asked(request, Response::GetIdValue { reqid, results })
    };
    assert_eq!(value(vec![up("i", "w")]), None);
    let explained = ApiResult::failed("r", "instance i: agent has too many open requests");
    for results in [vec![], vec![down("i", "w")], vec![explained]] {
        assert_eq!(value(results), Some(Rule::NotSettled));
    }
    let restart = Request::Restart {
        reqid: "r".to_owned(),
        nodes: names(&["w"]),
    };
    let not_restarted = Response::Restart {
        reqid: "r".to_owned(),
        results: vec![down("i", "w")],
    };
    assert_eq!(asked(restart, not_restarted), Some(Rule::NotSettled));
    let instances = Request::GetInstances {
        reqid: "r".to_owned(),
    };
    let none = Response::GetInstances {
        reqid: "r".to_owned(),
        result: ApiResult::ok("r").with_data(Vec::<Instance>::new().into_data()),
    };
    assert_eq!(asked(instances, none), Some(Rule::NotSettled));
}

#[test]
fn before_the_end_nodes_may_be_missing() {
    let early = [(4000, Seen::Calm), (5000, died(1)), (80_000, Seen::Calm)];
    assert_eq!(broken(&history(&[&deployed(), &early])), None);
    let noisy = [(5000, died(1)), (SETTLED, start(agent("j")))];
    assert_eq!(broken(&history(&[&deployed(), &noisy])), None);
}
