//! Each request has one answer, of its kind and in time.

use super::*;

#[test]
fn an_answer_may_come_until_the_time_is_over() {
    let asked = (0, ask(instances("r")));
    assert_eq!(broken(&[asked.clone(), (10_000, tell(none("r")))]), None);
    let late = [asked.clone(), (10_001, tell(none("r")))];
    assert_eq!(broken(&late), Some(Rule::Unanswered));
    let never = [asked.clone(), (60_000, Seen::Calm)];
    assert_eq!(broken(&never), Some(Rule::Unanswered));
    assert_eq!(broken(&[asked]), Some(Rule::Unanswered));
}

#[test]
fn a_deployment_may_take_nine_seconds_more() {
    let no = "no configuration available to deploy";
    let asked = (0, ask(deploy("d")));
    let in_time = [asked.clone(), (19_000, tell(deployed_failed("d", no)))];
    assert_eq!(broken(&in_time), None);
    let late = [asked, (19_001, tell(deployed_failed("d", no)))];
    assert_eq!(broken(&late), Some(Rule::Unanswered));
}

#[test]
fn nobody_is_answered_twice() {
    let twice = [
        (0, ask(instances("r"))),
        (1, tell(none("r"))),
        (2, tell(none("r"))),
    ];
    assert_eq!(broken(&twice[..2]), None);
    assert_eq!(broken(&twice), Some(Rule::AnsweredTwice));
}

#[test]
fn an_answer_needs_its_request() {
    assert_eq!(broken(&[(0, tell(none("r")))]), Some(Rule::Unasked));
    let copy = Seen::Answered {
        client: Client(2),
        response: none("r"),
    };
    let copied = [
        (0, ask(instances("r"))),
        (1, copy.clone()),
        (1, tell(none("r"))),
        (1, copy),
    ];
    assert_eq!(broken(&copied), None);
}

#[test]
fn an_answer_is_of_the_requests_kind() {
    let other = [(0, ask(nodes("r"))), (1, tell(none("r")))];
    assert_eq!(broken(&other), Some(Rule::WrongAnswer));
}

#[test]
fn a_client_that_has_gone_is_owed_nothing() {
    let client = Client(1);
    let gone = [
        (0, ask(instances("r"))),
        (1, Seen::ClientGone { client }),
        (60_000, Seen::Calm),
    ];
    assert_eq!(broken(&gone), None);
}

#[test]
fn a_controllers_requests_die_with_it() {
    let crash = [
        (0, ask(instances("r"))),
        (1, kill(Program::Controller)),
        (2, start(Program::Controller)),
        (60_000, ask(instances("s"))),
        (60_001, tell(none("s"))),
        (60_002, tell(none("r"))),
    ];
    assert_eq!(broken(&crash[..5]), None);
    assert_eq!(broken(&crash), Some(Rule::Unasked));
}

#[test]
fn only_a_test_with_state_is_answered_and_only_by_the_timeout() {
    let test = |with_state| {
        let reqid = "r".to_owned();
        ask(Request::TestTimeout { reqid, with_state })
    };
    let timeout = |error: &str| {
        tell(Response::TestTimeout {
            reqid: "r".to_owned(),
            result: ApiResult::failed("r", error),
        })
    };
    let over = (10_000, timeout("request timed out"));
    assert_eq!(broken(&[(0, test(true)), over.clone()]), None);
    assert_eq!(broken(&[(0, test(false)), (60_000, Seen::Calm)]), None);
    let cases = [
        (vec![(0, test(false)), over], Rule::Unasked),
        (
            vec![(0, test(true)), (9_999, timeout("request timed out"))],
            Rule::HastyTimeout,
        ),
        (
            vec![(0, test(true)), (10_000, timeout("no"))],
            Rule::WrongAnswer,
        ),
    ];
    for (history, rule) in cases {
        assert_eq!(broken(&history), Some(rule), "{history:?}");
    }
}

#[test]
fn requests_are_too_many_only_if_there_are_many() {
    let refused = |n: u32| {
        let more = (0..n).map(|n| (0, ask(instances(&format!("r{n}")))));
        let mut history: Vec<Step> = more.collect();
        let error = "too many open requests of this client: 256 are allowed";
        history.push((1, ask(deploy("d"))));
        history.push((1, tell(deployed_failed("d", error))));
        let client = Client(1);
        history.push((2, Seen::ClientGone { client }));
        history
    };
    assert_eq!(broken(&refused(256)), None);
    assert_eq!(broken(&refused(255)), Some(Rule::WrongRefusal));
    let a = config("a", &[("i", "w")]);
    let staging = [
        (0, ask(stage("s", &a))),
        (1, tell(staged_failed("s", "too many open requests"))),
    ];
    assert_eq!(broken(&staging), Some(Rule::WrongRefusal));
}

#[test]
fn no_client_has_more_requests_open_than_it_may() {
    let asked = |n: u32, from: u64| (0..n).map(move |n| (from, ask(instances(&format!("r{n}")))));
    let history: Vec<Step> = asked(258, 0).collect();
    assert_eq!(broken(&history), Some(Rule::Overfull));
    let mut history: Vec<Step> = asked(257, 0).collect();
    let client = Client(1);
    history.push((1, Seen::ClientGone { client }));
    assert_eq!(broken(&history), None);
    // Somebody else's do not count.
    let mut history: Vec<Step> = asked(257, 0).collect();
    let (client, request) = (Client(2), instances("other"));
    history.push((0, Seen::Asked { client, request }));
    for client in [Client(1), Client(2)] {
        history.push((1, Seen::ClientGone { client }));
    }
    assert_eq!(broken(&history), None);
}

#[test]
fn a_request_is_overheard_by_others_only() {
    let mut model = Model::default();
    model.see(ms(0), &ask(instances("r"))).unwrap();
    let overhears = |n, reqid| model.overhear(ms(1), Client(n), reqid);
    let rule = |result: Result<(), super::super::Violation>| result.err().map(|it| it.rule);
    assert_eq!(rule(overhears(2, "r")), None);
    assert_eq!(rule(overhears(1, "r")), Some(Rule::Repeated));
    assert_eq!(rule(overhears(1, "another")), None);
}

fn instances(reqid: &str) -> Request {
    let reqid = reqid.to_owned();
    Request::GetInstances { reqid }
}

fn none(reqid: &str) -> Response {
    Response::GetInstances {
        reqid: reqid.to_owned(),
        result: ApiResult::ok(reqid).with_data(Vec::<Instance>::new().into_data()),
    }
}
