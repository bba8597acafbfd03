//! Machines that a stranger can talk to: they must bear anything, and stay within their bounds.

use std::time::{Duration, Instant};

use broker_proto::codec::frame::FrameDecoder;
use broker_proto::peering::{Endpoint, Input, LinkId, Options, Output};
use broker_proto::{EndpointId, Filter, IdGen, Topic};
use bytes::Bytes;
use zeek_client_compat::hub;

/// What a peer sends after it connected, or after we dialed it: the first byte chooses (WIRE §4 to
/// §6). Our id is all `7f`, so that peers may be smaller or larger.
pub fn peering(input: &[u8]) {
    let Some((&first, stream)) = input.split_first() else {
        return;
    };
    let start = start();
    let id = EndpointId::from_bytes([0x7f; 16]);
    let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(1));
    let topic = Topic::from_static("zeek/");
    endpoint.handle(start, Input::Subscribe { topic });
    let link = if first.is_multiple_of(2) {
        LinkId::Accepted(0)
    } else {
        let addr = broker_proto::peering::PeerAddr {
            host: "peer".into(),
            port: 9999,
        };
        endpoint.handle(start, Input::Dial { addr, retry: None });
        LinkId::Dialed(0)
    };
    let remote = std::net::SocketAddr::from(([127, 0, 0, 1], 50000));
    endpoint.handle(
        start,
        Input::Opened {
            link,
            remote,
            certificate: None,
        },
    );
    drain(&mut endpoint, stream.len());
    for chunk in stream.chunks(usize::from(first / 2).max(1)) {
        let chunk = Bytes::copy_from_slice(chunk);
        endpoint.handle(start, Input::Bytes { link, chunk });
        drain(&mut endpoint, stream.len());
    }
    let topic = Topic::from_static("zeek/news");
    let payload = Bytes::from_static(&[0]);
    endpoint.handle(start, Input::Publish { topic, payload });
    endpoint.handle(start, Input::Shutdown);
    drain(&mut endpoint, stream.len());
    let late = start + Duration::from_secs(60);
    endpoint.handle_timeout(late);
    drain(&mut endpoint, stream.len());
    assert!(
        endpoint.poll_timeout().is_none_or(|at| at > late),
        "a deadline that passed is still due"
    );
}

/// Takes all outputs; checks that what is sent are whole frames, and that nothing is delivered that
/// belongs inside one endpoint (WIRE §6.4).
fn drain(endpoint: &mut Endpoint, received: usize) {
    let limit = received + 64;
    for _ in 0..limit {
        match endpoint.poll_output() {
            Some(Output::Send { bytes, .. }) => {
                let mut decoder = FrameDecoder::default();
                decoder.push(&bytes);
                let frame = decoder.next_frame(bytes.len());
                assert!(matches!(frame, Ok(Some(_))), "what is sent is no frame");
                assert!(decoder.is_empty(), "what is sent is more than a frame");
            }
            Some(Output::Deliver { topic, .. }) => {
                assert!(topic.as_bytes().starts_with(b"zeek/"), "not subscribed");
            }
            Some(
                Output::Listen { .. }
                | Output::Dial { .. }
                | Output::Close { .. }
                | Output::PeerUp { .. }
                | Output::PeerDown { .. }
                | Output::PeerUnreachable { .. }
                | Output::Misbehaved { .. }
                | Output::Stopped,
            ) => {}
            None => return,
        }
    }
    panic!("more outputs than input explains");
}

/// What a WebSocket client sends, one message a line (CLIENT §A2, §A3, §A8).
pub fn session(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let start = start();
    let allowed = Topic::from_static("zeek/management/controller");
    let publish = Filter::from_wire(vec![allowed.clone()]);
    let mut hub = hub::Hub::new(hub::Options::new("endpoint", "8.0.10", publish));
    let (client, other) = (hub::ClientId(0), hub::ClientId(1));
    for client in [client, other] {
        let remote = std::net::SocketAddr::from(([127, 0, 0, 1], 50000));
        let application = None;
        let opened = hub::Input::Opened {
            client,
            remote,
            application,
            certificate: None,
        };
        hub.handle(start, opened);
    }
    let text_of = |client, text: &str| hub::Input::Text {
        client,
        text: text.to_owned(),
    };
    hub.handle(start, text_of(other, "[\"\"]"));
    for line in text.lines() {
        hub.handle(start, text_of(client, line));
        let cut = hub::Input::TooLong {
            client,
            start: line.to_owned(),
            reason: "too long".to_owned(),
        };
        hub.handle(start, cut);
        let unsent = hub::Input::Unsent {
            client: other,
            start: line.to_owned(),
            reason: "too much".to_owned(),
        };
        hub.handle(start, unsent);
        let mut relayed = Vec::new();
        while let Some(output) = hub.poll_output() {
            match output {
                hub::Output::Send { text, .. } => {
                    let parsed = serde_json::from_str::<serde_json::Value>(&text);
                    assert!(parsed.is_ok(), "not JSON: {text:?}");
                }
                hub::Output::Deliver { topic, event, .. } => {
                    assert!(topic.as_bytes().starts_with(allowed.as_bytes()));
                    let (event, origin) = (event.into(), Some(client));
                    relayed.push(hub::Input::Publish {
                        topic,
                        event,
                        origin,
                    });
                }
                hub::Output::Refused { topic, .. } => {
                    assert!(!topic.as_bytes().starts_with(allowed.as_bytes()));
                }
                hub::Output::Unread { event, from, .. } => {
                    assert_eq!((event.args.len(), from), (1, client));
                }
                hub::Output::Unsent { event, to, .. } => {
                    assert_eq!((event.args.len(), to), (1, other));
                }
                hub::Output::Close { .. } => {}
            }
        }
        for input in relayed {
            hub.handle(start, input);
        }
    }
    hub.handle_timeout(start + Duration::from_secs(3600));
    while hub.poll_output().is_some() {}
    assert_eq!(
        hub.poll_timeout(),
        None,
        "a client without subscriptions stays"
    );
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
