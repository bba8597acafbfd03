//! The controller's WebSocket port (CLIENT §A2, §A8, §A9).

use std::io::Write as _;

use harness::tree::{CONTROLLER, Options, Tree};
use harness::websocket::{Answer, WebSocket};

use crate::{assert_logged_once, assert_nobody_noticed};

const BINARY: u8 = 2;

#[test]
fn clients_that_talk_nonsense_are_told_and_others_never_notice() {
    let tree = Tree::start(&Options::default()).unwrap();
    let port = tree.ports.websocket;
    let mut bystander = WebSocket::subscribed(port).unwrap();
    subscriptions_that_are_none_end_the_session(&tree);
    nonsense_after_that_keeps_the_session(&tree);
    what_is_too_long_keeps_the_session(&tree);
    frames_that_are_none_end_the_session(&tree);
    bystander
        .send(&request("get_instances_request", ""))
        .unwrap();
    // Answers to others are copied to everybody on the topic (CLIENT §A7).
    loop {
        let Answer::Text(text) = bystander.receive().unwrap() else {
            panic!("the bystander was cut off");
        };
        if text.contains("get_instances_response") {
            break;
        }
    }
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

fn subscriptions_that_are_none_end_the_session(tree: &Tree) {
    let cases = [
        ("this is no JSON", "subscriptions not an array"),
        ("{\"a\": 1}", "subscriptions not an array"),
        ("[\"a\", 7]", "individual subscription not a string"),
    ];
    for (text, context) in cases {
        let mut socket = WebSocket::connect(tree.ports.websocket).unwrap();
        let name = socket.local().unwrap().to_string();
        socket.send(text).unwrap();
        assert_error(&mut socket, context);
        assert_eq!(socket.receive().unwrap(), Answer::Close(1008), "{text}");
        assert_logged_once(tree, &["client left", &client(tree, &name), context]);
    }
}

fn nonsense_after_that_keeps_the_session(tree: &Tree) {
    let mut socket = WebSocket::subscribed(tree.ports.websocket).unwrap();
    let broken = "{\"topic\": \"zeek/management/controller\", \"@data-type\": \"vec";
    let no_event =
        "{\"topic\": \"zeek/management/controller\", \"@data-type\": \"count\", \"data\": 1}";
    let cases = [
        ("this is no JSON".to_owned(), "failed to decode JSON object"),
        (broken.to_owned(), "failed to decode JSON object"),
        ("[1, 2]".to_owned(), "failed to decode JSON object"),
        (
            "{\"@data-type\": \"count\", \"data\": 1}".to_owned(),
            "no topic in top-level JSON object",
        ),
        (no_event.to_owned(), "failed to create Zeek event"),
        (
            request("no_such_request", ""),
            "failed to create Zeek event",
        ),
    ];
    for (text, context) in cases {
        socket.send(&text).unwrap();
        assert_error(&mut socket, context);
    }
    // A request with a reqid gets an answer that the client understands.
    let count = ", {\"@data-type\": \"count\", \"data\": 1}";
    socket
        .send(&request("get_configuration_request", count))
        .unwrap();
    let Answer::Text(answer) = socket.receive().unwrap() else {
        panic!("a wrong argument cost the session");
    };
    let fails = answer.contains("get_configuration_response") && answer.contains("false");
    assert!(fails, "{answer}");
    assert_logged_once(tree, &["request refused", "get_configuration_request"]);
    // Text in a binary frame counts as text, and the session still works.
    let last = request("get_instances_request", "");
    socket.frame(BINARY, last.as_bytes()).unwrap();
    let Answer::Text(answer) = socket.receive().unwrap() else {
        panic!("nonsense cost the session");
    };
    assert!(answer.contains("get_instances_response"), "{answer}");
}

fn frames_that_are_none_end_the_session(tree: &Tree) {
    const RESERVED: u8 = 7;
    let mut socket = WebSocket::subscribed(tree.ports.websocket).unwrap();
    socket.frame(RESERVED, b"").unwrap();
    assert!(matches!(
        socket.receive(),
        Ok(Answer::Close(1002) | Answer::End)
    ));
    // The first message has to fit, and the server does not wait for it.
    let mut socket = WebSocket::connect(tree.ports.websocket).unwrap();
    let name = socket.local().unwrap().to_string();
    let announced = [&[0x81, 0xff][..], &(17_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    socket.sender().unwrap().write_all(&announced).unwrap();
    assert_eq!(socket.receive().unwrap(), Answer::Close(1009));
    assert_logged_once(tree, &["client left", &client(tree, &name), "too"]);
}

fn what_is_too_long_keeps_the_session(tree: &Tree) {
    let mut socket = WebSocket::subscribed(tree.ports.websocket).unwrap();
    let mut too_long = request("stage_configuration_request", "");
    too_long.push_str(&" ".repeat((64 << 20) - too_long.len()));
    socket.send(&too_long).unwrap();
    let Answer::Text(answer) = socket.receive().unwrap() else {
        panic!("64 MiB cost the session");
    };
    let limit = "Message too big: 67108864 bytes, message_bytes is 16777216";
    let fails = answer.contains("stage_configuration_response") && answer.contains(limit);
    assert!(fails, "{answer}");
    socket.send(&request("get_instances_request", "")).unwrap();
    let Answer::Text(answer) = socket.receive().unwrap() else {
        panic!("64 MiB cost the session");
    };
    assert!(answer.contains("get_instances_response"), "{answer}");
}

/// What the log calls the client at this address.
fn client(tree: &Tree, name: &str) -> String {
    let lines = tree.lines_of(
        CONTROLLER,
        &["client connected", &format!("remote={name} ")],
    );
    let word = |line: &String| {
        let mut words = line.split(' ').filter(|word| word.starts_with("client="));
        words.next().map(|word| format!("{word} "))
    };
    lines
        .first()
        .and_then(word)
        .expect("the client is logged when it comes")
}

fn assert_error(socket: &mut WebSocket, context: &str) {
    let Answer::Text(text) = socket.receive().unwrap() else {
        panic!("no error message about {context}");
    };
    let is_error = text.contains("\"type\":\"error\"") && text.contains(context);
    assert!(is_error, "{text}, not {context}");
}

/// A request event with the reqid `r1` and further arguments.
fn request(name: &str, more: &str) -> String {
    format!(
        "{{\"type\": \"data-message\", \"topic\": \"zeek/management/controller\", \
         \"@data-type\": \"vector\", \"data\": [{{\"@data-type\": \"count\", \"data\": 1}}, \
         {{\"@data-type\": \"count\", \"data\": 1}}, {{\"@data-type\": \"vector\", \"data\": [\
         {{\"@data-type\": \"string\", \"data\": \"Management::Controller::API::{name}\"}}, \
         {{\"@data-type\": \"vector\", \"data\": [{{\"@data-type\": \"string\", \"data\": \"r1\"}}\
         {more}]}}]}}]}}"
    )
}
