//! What the stock zeek-client connects to: Broker's JSON over WebSocket (CLIENT.md).
//!
//! # How a client is served
//!
//! 1. It connects to the WebSocket port, with TLS or without: the first byte tells. It asks for an
//!    upgrade at `/v1/messages/json`; other paths are answered 404 (`io::server`).
//! 2. Its first message is a JSON array of topic prefixes. The answer is an `ack`, and from then on
//!    the client receives every event that is published on those topics, except its own.
//!    Anything else as first message is answered with an error, and the socket is closed.
//! 3. What it sends then is a data message: a topic and a value that holds a Zeek event. The value is
//!    decoded ([`json`]), the topic is checked, and the event goes to the program
//!    ([`hub::Output::Deliver`]). The program answers the request by publishing its response
//!    ([`hub::Input::Publish`]), relays the request to other clients by publishing it with its
//!    origin, or turns it down ([`hub::Input::Reject`]).
//! 4. Bad input is answered with an error to the client that sent it, and the session goes on.
//! 5. The client ends by going away: zeek-client sends no close frame.
//!
//! ```
//! use std::time::Instant;
//! use broker_proto::zeek::Event;
//! use broker_proto::{Data, Filter, Topic};
//! use zeek_client_compat::hub::{ClientId, Hub, Input, Options, Output};
//!
//! let topic = Topic::from_static("zeek/management/controller");
//! let publish = Filter::from_wire(vec![topic.clone()]);
//! let mut hub = Hub::new(Options::new("fc96b53a-0eb6-5e68-9f51-a8644bfb3908", "8.0.10", publish));
//! let client = ClientId(0);
//! let remote = "127.0.0.1:50000".parse()?;
//! # #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
//! let now = Instant::now();
//! hub.handle(now, Input::Opened { client, remote, application: None, certificate: None });
//! hub.handle(now, Input::Text { client, text: r#"["zeek/management/controller"]"#.into() });
//! let Some(Output::Send { text, .. }) = hub.poll_output() else { panic!("no ack") };
//! assert_eq!(
//!     &*text,
//!     r#"{"type":"ack","endpoint":"fc96b53a-0eb6-5e68-9f51-a8644bfb3908-websocket-0","version":"8.0.10"}"#,
//! );
//!
//! let event = Event::new("Example::hello", vec![Data::Boolean(true)]);
//! hub.handle(now, Input::Publish { topic, event: event.into(), origin: None });
//! assert!(matches!(hub.poll_output(), Some(Output::Send { .. })));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! # Modules
//!
//! [`json`] values ⇄ text; [`message`] the four kinds of messages; `session` one client's states;
//! `sieve` cuts messages that are too long; [`protection`] a client's TLS settings; [`hub`] the
//! machine that holds all clients; `io` (feature `io`, on by default) the server.

pub mod hub;
#[cfg(feature = "io")]
pub mod io;
pub mod json;
pub mod message;
pub mod protection;
mod session;
#[cfg(feature = "io")]
mod sieve;
