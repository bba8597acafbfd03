//! Zeek's Broker protocol: values, frames, handshake, peering, and endpoints to embed.
//!
//! Zeek nodes talk to each other, and to programs, over Broker: each endpoint peers with others
//! over TCP, tells them the topics it wants, and gets what they publish there. This crate is an
//! independent implementation of that protocol, version 1, as Zeek 5.0 to 8.0 speak it. `WIRE.md`
//! beside the sources is its description; documentation here cites it as `WIRE §6.3`.
//!
//! # A subscriber
//!
//! This is all it takes to watch a Zeek node that listens at `localhost:9999` with stock's TLS
//! settings (`Broker::listen` in its script):
//!
//! ```no_run
//! # #[cfg(feature = "io")] {
//! use std::time::Duration;
//!
//! use broker_proto::Topic;
//! use broker_proto::io::handle::{Options, spawn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = spawn(Options::anonymous());
//! let mut events = endpoint.subscribe(Topic::from_static("zeek/event/")).await?;
//! let zeek = "localhost:9999".parse()?;
//! endpoint.peer(&zeek, Some(Duration::from_secs(1))).await?;
//! while let Some(message) = events.next().await {
//!     match message.event() {
//!         Ok(event) => println!("{}: {}({:?})", message.topic, event.name, event.args),
//!         Err(error) => eprintln!("{}: {error}", message.topic),
//!     }
//! }
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! - `Some(1 s)` has the endpoint dial again for as long as the program runs. What happens to the
//!   peering is told by [`Handle::status`].
//! - A topic stands for all that start with it. `/` has no meaning: `zeek/event` would match
//!   `zeek/eventually` too.
//! - A message is bytes until [`Message::data`] or [`Message::event`] reads it. Both are checked
//!   against [`Limits`], so a hostile peer can cost an error, not memory.
//! - Zeek publishes an event with `Broker::publish("zeek/event/mine", my_event, 7, "x")`. Its
//!   `count` arrives as [`Data::Count`], its records as [`Data::Vector`]; see [`data`] for all.
//! - To answer, [`Handle::publish`] an [`Event`]; Zeek must have subscribed to the topic
//!   (`Broker::subscribe`) and have a handler for it.
//!
//! [`io::handle`] has an example with both sides in one process.
//!
//! # From arguments to types
//!
//! [`zeek_events!`] declares the events one expects, [`zeek_record!`] and [`zeek_enum!`] what is in
//! them. What does not fit is refused with the name of the event, the argument and the field:
//!
//! ```
//! broker_proto::zeek_events! {
//!     /// What the sensors say.
//!     pub enum Sensor("Sensor::") {
//!         /// It rains.
//!         Rain = "rain" { place: String, millimeters: u64 },
//!     }
//! }
//! # use broker_proto::{Data, zeek::Event};
//! let event = Event::new("Sensor::rain", vec![Data::string("here"), Data::Count(3)]);
//! assert_eq!(Sensor::try_from(event), Ok(Sensor::Rain { place: "here".into(), millimeters: 3 }));
//!
//! let event = Event::new("Sensor::rain", vec![Data::string("here"), Data::string("much")]);
//! let error = Sensor::try_from(event).unwrap_err();
//! assert_eq!(error.to_string(), "Sensor::rain, argument millimeters: expected count, got string");
//! ```
//!
//! # From bytes to events, and where each step lives
//!
//! ```text
//! socket ─ io::transport ─▶ bytes
//!            codec::frame ─▶ frames                 4-byte length, then a payload
//!        codec::handshake ─▶ HandshakeMsg           until the peering stands
//!         codec::envelope ─▶ Envelope               sender, receiver, topic, payload
//!                 peering ─▶ Deliver                who gets it; payloads stay bytes
//!             codec::data ─▶ Data                   one checked value
//!             zeek::Event ─▶ name, arguments
//!            zeek_events! ─▶ your own types
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`io::handle`] | an endpoint to embed: listen, peer, subscribe, publish. Start here |
//! | [`zeek`] | what Zeek puts into values: events, records, enums |
//! | [`data`] | the value model, and the order that decides the bytes of sets and tables |
//! | [`topic`] | topics, and the filters that endpoints announce |
//! | [`codec`] | bytes ⇄ frames, handshake messages, envelopes, values; limits and errors |
//! | [`peering`] | links, handshakes, subscriptions and routing as one state machine |
//! | [`places`], [`source`] | how many links strangers may hold, and who counts as one |
//! | [`io`] | the rest that touches the system: sockets, TLS, randomness |
//! | [`certificate`] | whose certificate is at the other end of a link |
//! | [`endpoint_id`], [`id_gen`] | who an endpoint is, and ids from a seed |
//!
//! # The `io` feature
//!
//! Only [`io`] needs an operating system. Without the feature `io`, which is on by default, the
//! crate has no tokio, no TLS, no clock and no thread: [`peering::Endpoint`] is fed what happened
//! and the time, and says what to do. It can be driven by any runtime, and by tests, which is how
//! this crate tests it.
//!
//! With it comes `broker-cat`, a program that peers, prints, publishes, records and decodes.
//!
//! [`Event`]: zeek::Event
//! [`Limits`]: codec::Limits
//! [`Handle::status`]: io::handle::Handle::status
//! [`Handle::publish`]: io::handle::Handle::publish
//! [`Message::data`]: io::handle::Message::data
//! [`Message::event`]: io::handle::Message::event

pub mod certificate;
pub mod codec;
pub mod data;
pub mod endpoint_id;
pub mod id_gen;
#[cfg(feature = "io")]
pub mod io;
pub mod peering;
pub mod places;
pub mod source;
pub mod tls;
pub mod topic;
pub mod zeek;

pub use bytes::Bytes;
pub use certificate::PeerCertificate;
pub use data::{
    Address, ByteString, Data, Port, Protocol, Set, Subnet, Table, Timespan, Timestamp,
};
pub use endpoint_id::EndpointId;
pub use id_gen::IdGen;
pub use topic::{Filter, Topic};
