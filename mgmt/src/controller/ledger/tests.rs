use super::*;
use crate::api::ApiResult;
use crate::policy::Listener;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn answers_find_whose_they_are_when_two_clients_use_one_id() {
    let (now, mut ledger) = (start(), ledger(&Limits::default()));
    let first = ask(&mut ledger, now, 1);
    let second = ask(&mut ledger, now + SECOND, 2);
    assert_eq!(first.reqid(), "r");
    assert_ne!(second.reqid(), "r");
    // A client that uses that very id is no trouble either.
    let (third, _) = ledger.open(now, client(3), who(3), second.clone());
    assert_ne!(third.reqid(), second.reqid());
    for (request, asker) in [(&second, 2), (&third, 3), (&first, 1)] {
        let (response, entry) = ledger.answer(now + 2 * SECOND, nodes(request.reqid()));
        let Some(Entry::Request { who, asked, .. }) = entry else {
            panic!("{entry:?}");
        };
        assert_eq!(who.id, format!("websocket-{asker}"));
        assert_eq!(response, nodes(&asked.reqid), "as the client knows it");
    }
    assert_eq!(ledger.answer(now, nodes("r")).1, None, "none is left");
}

#[test]
fn the_same_id_in_requests_of_different_kinds_stays_as_it_is() {
    let (now, mut ledger) = (start(), ledger(&Limits::default()));
    ask(&mut ledger, now, 1);
    let reqid = "r".to_owned();
    let request = ControllerRequest::Deploy { reqid };
    assert_eq!(
        ledger.open(now, client(2), who(2), request.clone()).0,
        request
    );
}

#[test]
fn one_client_cannot_fill_the_table_and_others_are_not_concerned() {
    let limits = Limits {
        open_requests: 2,
        ..Limits::default()
    };
    let (now, mut ledger) = (start(), ledger(&limits));
    let first = ask(&mut ledger, now, 1);
    ask(&mut ledger, now, 1);
    let excess = ledger.admit(now, client(1), "r").unwrap_err();
    assert_eq!(
        excess.to_string(),
        "too many open requests of this client: 2 are allowed"
    );
    assert_eq!(ledger.admit(now, client(2), "r"), Ok(()));
    ledger.answer(now, nodes(first.reqid()));
    assert_eq!(ledger.admit(now, client(1), "r"), Ok(()));
    assert_eq!(ledger.counters().too_many, 1);
}

#[test]
fn one_client_cannot_ask_without_pause() {
    let limits = Limits {
        requests_per_second: 10,
        request_burst: 3,
        ..Limits::default()
    };
    let (now, mut ledger) = (start(), ledger(&limits));
    let excess = Excess::TooFast { per_second: 10 };
    for _ in 0..3 {
        assert_eq!(ledger.admit(now, client(1), "r"), Ok(()));
    }
    assert_eq!(ledger.admit(now, client(1), "r"), Err(excess));
    assert_eq!(
        excess.to_string(),
        "too many requests of this client: 10 a second are allowed"
    );
    assert_eq!(ledger.admit(now, client(2), "r"), Ok(()));
    assert_eq!(ledger.admit(now + SECOND / 10, client(1), "r"), Ok(()));
    assert_eq!(ledger.counters().too_fast, 1);
}

#[test]
fn an_id_that_is_a_novel_is_refused() {
    let (now, mut ledger) = (start(), ledger(&Limits::default()));
    let id = "x".repeat(MAX_ID + 1);
    assert_eq!(ledger.admit(now, client(1), &id), Err(Excess::LongId));
    assert_eq!(ledger.counters().long_ids, 1);
}

#[test]
fn what_a_client_asked_that_left_is_told_with_its_outcome() {
    let (now, mut ledger) = (start(), ledger(&Limits::default()));
    ask(&mut ledger, now, 1);
    ledger.left(client(1));
    let (_, entry) = ledger.answer(now + SECOND, nodes("r"));
    let expected = Entry::Request {
        who: who(1),
        asked: Asked {
            event: "Management::Controller::API::get_nodes_request".to_owned(),
            reqid: "r".to_owned(),
            config: None,
        },
        outcome: Outcome::Done,
        is_gone: true,
        took: SECOND,
    };
    assert_eq!(entry, Some(expected));
}

#[test]
fn a_request_that_has_no_answer_has_its_line_all_the_same() {
    let (now, mut ledger) = (start(), ledger(&Limits::default()));
    let reqid = "r".to_owned();
    let with_state = false;
    let request = ControllerRequest::TestTimeout { reqid, with_state };
    let (_, entry) = ledger.open(now, client(1), who(1), request);
    let is_unanswered = |entry: &Entry| matches!(entry, Entry::Request { outcome, .. } if *outcome == Outcome::Unanswered);
    assert!(entry.as_ref().is_some_and(is_unanswered), "{entry:?}");
    assert_eq!(ledger.next_deadline(), None);

    ask(&mut ledger, now, 1);
    let deadline = ledger.next_deadline().unwrap();
    assert_eq!(ledger.expire(deadline - SECOND), []);
    assert!(ledger.expire(deadline).iter().all(is_unanswered));
    ask(&mut ledger, now, 1);
    assert_eq!(ledger.end_all(now).len(), 1);
    assert_eq!(ledger.next_deadline(), None);
}

#[test]
fn a_deployment_is_told_with_its_configuration() {
    let (now, mut ledger) = (start(), ledger(&Limits::default()));
    let reqid = "r".to_owned();
    ledger.open(now, client(1), who(1), ControllerRequest::Deploy { reqid });
    let failure = ApiResult::failed("r", "why").on_node("worker");
    let success = ApiResult::ok("r").with_data(broker_proto::Data::string("c1"));
    let (reqid, results) = ("r".to_owned(), vec![failure, success]);
    let (_, entry) = ledger.answer(now, ControllerResponse::Deploy { reqid, results });
    let Some(Entry::Request { asked, outcome, .. }) = entry else {
        panic!("{entry:?}");
    };
    assert_eq!(asked.config.as_deref(), Some("c1"));
    let error = "why".to_owned();
    let (failed, results) = (1, 2);
    let expected = Outcome::Failed {
        failed,
        results,
        error,
    };
    assert_eq!(outcome, expected);
}

fn ask(ledger: &mut Ledger, now: Instant, n: u64) -> ControllerRequest {
    ledger.admit(now, client(n), "r").unwrap();
    let reqid = "r".to_owned();
    let request = ControllerRequest::GetNodes { reqid };
    ledger.open(now, client(n), who(n), request).0
}

fn nodes(reqid: &str) -> ControllerResponse {
    let results = vec![ApiResult::ok(reqid)];
    let reqid = reqid.to_owned();
    ControllerResponse::GetNodes { reqid, results }
}

fn ledger(limits: &Limits) -> Ledger {
    Ledger::new(limits, Duration::from_secs(10))
}

fn client(n: u64) -> Asker {
    Asker::Client(ClientId(n))
}

fn who(n: u64) -> Who {
    Who {
        id: ClientId(n).to_string(),
        listener: Listener::WebSocket,
        address: None,
        application: None,
        certificate: None,
        roles: String::new(),
    }
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}
