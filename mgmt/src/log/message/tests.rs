//! Wordings that no recording shows. Those it shows are compared with it in `tests/interop`.

use super::*;

fn result(reqid: &str) -> ApiResult {
    ApiResult::ok(reqid)
}

#[test]
fn a_result_names_only_what_it_has() {
    assert_eq!(one(&result("")), "success");
    assert_eq!(one(&result("r").on_node("")), "success (reqid r)");
    let failed = ApiResult::failed("", "no").on_instance("i");
    assert_eq!(one(&failed), "error (no) (instance i)");
    let silent = ApiResult {
        error: None,
        ..ApiResult::failed("r", "").on_node("n")
    };
    assert_eq!(one(&silent), "error (reqid r, node n)");
}

#[test]
fn ports_that_are_off_are_told() {
    let addr = PeerAddr {
        host: "::1".into(),
        port: 7,
    };
    assert_eq!(
        controller_live(&"id", Some(&addr), None),
        "controller is live, Broker ID id, Broker port ::1:7/tcp, no Websocket port"
    );
    assert_eq!(
        controller_live(&"id", None, Some(&addr)),
        "controller is live, Broker ID id, no Broker port, websocket port ::1:7/tcp"
    );
}

#[test]
fn a_refused_configuration_is_a_finished_request() {
    let (reqid, results) = ("r".to_owned(), vec![ApiResult::failed("r", "bad")]);
    assert_eq!(
        to_client(&ControllerResponse::StageConfiguration { reqid, results }),
        "tx Management::Controller::API::stage_configuration_response \
         [request r finished, results: error (bad) (reqid r)]"
    );
}

#[test]
fn a_query_without_instances_or_cluster_is_answered_without_details() {
    let none = |error: &str| ("r".to_owned(), vec![ApiResult::failed("r", error)]);
    let (reqid, results) = none("no instances connected");
    assert_eq!(
        to_client(&ControllerResponse::GetNodes { reqid, results }),
        "tx Management::Controller::API::get_nodes_response r"
    );
    let (reqid, results) = none("no instances connected");
    assert_eq!(
        to_client(&ControllerResponse::Restart { reqid, results }),
        "tx Management::Controller::API::restart_response \
         [request r pending, results: error (no instances connected) (reqid r)]"
    );
}

#[test]
fn an_answer_without_nodes_says_why() {
    let dispatch = |results, asked| {
        let reqid = "r".to_owned();
        let response = AgentResponse::NodeDispatch { reqid, results };
        to_controller(&response, asked).unwrap().message
    };
    let name = "tx Management::Agent::API::node_dispatch_response r";
    assert_eq!(
        dispatch(vec![], Asked::Named),
        format!("{name}, no node overlap")
    );
    assert_eq!(
        dispatch(vec![], Asked::All),
        format!("{name}, no nodes registered")
    );
    let down = ApiResult::failed("r", "cluster node w not in running state");
    assert_eq!(
        dispatch(vec![down], Asked::All),
        format!("{name}, no nodes running")
    );
    let (reqid, results) = ("r".to_owned(), vec![]);
    let response = AgentResponse::Restart { reqid, results };
    assert_eq!(
        to_controller(&response, Asked::Named),
        Some(Record::info(
            "tx Management::Agent::API::restart_response r, no node overlap"
        ))
    );
}

#[test]
fn a_notice_of_failure_is_an_error_of_its_own_words() {
    let response = AgentResponse::Error {
        instance: "i".into(),
        msg: "failed to create node w: no".into(),
        node: "w".into(),
    };
    assert_eq!(
        to_controller(&response, Asked::All),
        Some(Record::error("failed to create node w: no"))
    );
    assert_eq!(
        from_agent(&response),
        Record::warning("rx Management::Agent::API::notify_error i w failed to create node w: no")
    );
}

#[test]
fn a_standby_has_no_id_at_the_controller() {
    let reqid = String::new();
    let standby = AgentRequest::Standby { reqid };
    assert_eq!(
        to_agent("i", &standby),
        "tx Management::Agent::API::agent_standby_request to i"
    );
    assert_eq!(
        from_controller(&standby),
        "rx Management::Agent::API::agent_standby_request "
    );
}
