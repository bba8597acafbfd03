//! `Event` ⇄ `Data` (WIRE §8.1, §8.2), and typed sets of events.

use bytes::Bytes;

use crate::codec::data::encode_into;
use crate::codec::data::pieces::{self, Pieces};
use crate::codec::view::View;
use crate::codec::{self, DecodeError, Limits};
use crate::data::Data;
use crate::zeek::record::ConvertError;

const FORMAT: u64 = 1;
const TYPE_EVENT: u64 = 1;

/// One Zeek event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// The full name, as in `Management::Agent::API::deploy_request`.
    pub name: String,
    /// The arguments, in the order of the event's declaration.
    pub args: Vec<Data>,
    /// Key and value of each metadata entry; `None` leaves the field away.
    ///
    /// Stock 8.0 sends an empty list natively and no field at all over WebSocket.
    pub metadata: Option<Vec<(u64, Data)>>,
}

/// Why a value is no event, or not one of those expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EventError {
    /// The bytes are no value.
    #[error("undecodable value: {0}")]
    Undecodable(#[source] DecodeError),
    /// The value has another shape; `what` says which part.
    #[error("not a Zeek event: {what}")]
    Shape {
        /// The part that is wrong.
        what: &'static str,
    },
    /// A well-formed Zeek message, but a log, an identifier update or a batch.
    #[error("Zeek message of type {0} is not an event")]
    OtherMessage(u64),
    /// No event of this name belongs here.
    #[error("unknown event {0}")]
    UnknownName(String),
    /// The number of arguments differs from the declaration.
    #[error("{name} takes {expected} arguments, got {got}")]
    ArgCount {
        /// The event.
        name: String,
        /// As declared.
        expected: usize,
        /// As received.
        got: usize,
    },
    /// An argument does not convert.
    #[error("{name}, argument {arg}: {error}")]
    Arg {
        /// The event.
        name: String,
        /// The argument's name.
        arg: &'static str,
        /// What is wrong with it.
        #[source]
        error: ConvertError,
    },
}

impl Event {
    /// An event as stock 8.0 publishes it natively: with an empty metadata list.
    pub fn new(name: impl Into<String>, args: Vec<Data>) -> Self {
        Self {
            name: name.into(),
            args,
            metadata: Some(Vec::new()),
        }
    }

    /// The payload of the data envelope that carries the event.
    pub fn encode(self) -> Bytes {
        codec::data::encode(&self.into_data())
    }

    /// The payload of an event like [`Event::new`]'s with so many arguments, which `write` appends:
    /// for arguments that are too large to make values of them first ([`pieces`]).
    pub fn encode_with(name: &str, args: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut out = Vec::new();
        put_message(3, (name, args), &mut out);
        write(&mut out);
        pieces::put_vector(0, &mut out);
        out.into()
    }

    /// What `read` takes off the arguments of such an event, with metadata or without. `None` if it
    /// is none, or `read` has none, or leaves some: then [`Event::decode`] has the verdict.
    pub fn decode_with<'a, T>(
        payload: &'a [u8],
        limits: &Limits,
        (name, args): (&str, usize),
        read: impl FnOnce(&mut Pieces<'a>) -> Option<T>,
    ) -> Option<T> {
        let rest = &mut Pieces::of(payload, limits);
        rest.take_vector().filter(|parts| *parts == 3)?;
        rest.take().filter(|it| *it == Data::Count(FORMAT))?;
        rest.take().filter(|it| *it == Data::Count(TYPE_EVENT))?;
        let parts = rest.take_vector()?;
        rest.take().filter(|it| *it == Data::string(name))?;
        rest.take_vector().filter(|count| *count == args)?;
        let found = read(rest)?;
        match parts {
            2 => {}
            3 => {
                let Some(Data::Vector(entries)) = rest.take() else {
                    return None;
                };
                read_metadata(entries).ok()?;
            }
            _ => return None,
        }
        rest.is_empty().then_some(found)
    }

    /// Reads the payload of a data envelope.
    ///
    /// # Errors
    /// If it is not one value, or that value is not an event.
    pub fn decode(payload: &[u8], limits: &Limits) -> Result<Self, EventError> {
        let data = codec::data::decode(payload, limits).map_err(EventError::Undecodable)?;
        Self::from_data(data)
    }

    /// The message vector of WIRE §8.1.
    pub fn into_data(self) -> Data {
        let mut content = vec![Data::string(self.name), Data::Vector(self.args)];
        if let Some(metadata) = self.metadata {
            let entries = metadata.into_iter();
            let entries = entries.map(|(key, value)| Data::Vector(vec![Data::Count(key), value]));
            content.push(Data::Vector(entries.collect()));
        }
        Data::Vector(vec![
            Data::Count(FORMAT),
            Data::Count(TYPE_EVENT),
            Data::Vector(content),
        ])
    }

    /// Reads the message vector of WIRE §8.1. Surplus elements are ignored, as in stock.
    ///
    /// # Errors
    /// If the value is not a Zeek message of version 1, not an event, or has a malformed part.
    pub fn from_data(data: Data) -> Result<Self, EventError> {
        let shape = |what| EventError::Shape { what };
        let Data::Vector(message) = data else {
            return Err(shape("not a vector"));
        };
        let mut message = message.into_iter();
        if message.next() != Some(Data::Count(FORMAT)) {
            return Err(shape("version is not 1"));
        }
        let Some(Data::Count(kind)) = message.next() else {
            return Err(shape("no message type"));
        };
        if kind != TYPE_EVENT {
            return Err(EventError::OtherMessage(kind));
        }
        let Some(Data::Vector(content)) = message.next() else {
            return Err(shape("no content"));
        };
        let mut content = content.into_iter();
        let Some(Data::String(name)) = content.next() else {
            return Err(shape("no name"));
        };
        let name = name
            .to_str()
            .ok_or_else(|| shape("name is not UTF-8"))?
            .to_owned();
        let Some(Data::Vector(args)) = content.next() else {
            return Err(shape("no arguments"));
        };
        let metadata = match content.next() {
            None => None,
            Some(Data::Vector(entries)) => Some(read_metadata(entries)?),
            Some(_) => return Err(shape("metadata is not a vector")),
        };
        Ok(Self {
            name,
            args,
            metadata,
        })
    }
}

/// An event without metadata, as its bytes: what WebSocket clients get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BareEvent(View);

impl BareEvent {
    /// An event with so many arguments, which `write` appends.
    pub fn with(name: &str, args: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut out = Vec::new();
        put_message(2, (name, args), &mut out);
        write(&mut out);
        Self(View::of_encoded(out.into()))
    }

    /// The message vector of WIRE §8.1.
    pub fn message(&self) -> &View {
        &self.0
    }
}

impl From<Event> for BareEvent {
    fn from(event: Event) -> Self {
        Self::with(&event.name, event.args.len(), |out| {
            for arg in &event.args {
                encode_into(arg, out);
            }
        })
    }
}

/// What comes before the arguments, of which there are so many, in a message whose content has so
/// many parts.
fn put_message(parts: usize, (name, args): (&str, usize), out: &mut Vec<u8>) {
    pieces::put_vector(3, out);
    pieces::put_count(FORMAT, out);
    pieces::put_count(TYPE_EVENT, out);
    pieces::put_vector(parts, out);
    pieces::put_string(name, out);
    pieces::put_vector(args, out);
}

fn read_metadata(entries: Vec<Data>) -> Result<Vec<(u64, Data)>, EventError> {
    let error = EventError::Shape {
        what: "metadata entry is not a key and a value",
    };
    let mut read = Vec::with_capacity(entries.len());
    for entry in entries {
        let Data::Vector(pair) = entry else {
            return Err(error);
        };
        let Ok([Data::Count(key), value]) = <[Data; 2]>::try_from(pair) else {
            return Err(error);
        };
        read.push((key, value));
    }
    Ok(read)
}

/// Declares a closed set of events as an enum, one variant an event, with typed arguments.
///
/// ```
/// broker_proto::zeek_events! {
///     /// What an agent may be asked.
///     pub enum Ask("Example::API::") {
///         /// Are you there?
///         Hello = "hello_request" { reqid: String, loud: bool },
///     }
/// }
/// # use broker_proto::zeek::Event;
/// let event = Event::from(Ask::Hello { reqid: "r1".into(), loud: true });
/// assert_eq!(event.name, "Example::API::hello_request");
/// assert_eq!(Ask::try_from(event), Ok(Ask::Hello { reqid: "r1".into(), loud: true }));
/// ```
#[macro_export]
macro_rules! zeek_events {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident($prefix:literal) {
            $(
                $(#[$vmeta:meta])*
                $variant:ident = $event:literal { $($field:ident: $ty:ty),* $(,)? }
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[allow(missing_docs, reason = "the fields are the event's parameters, by stock's names")]
        $vis enum $name {
            $( $(#[$vmeta])* $variant { $($field: $ty),* }, )*
        }

        #[allow(dead_code, reason = "who only reads events does not write them")]
        impl $name {
            /// The event's full name.
            $vis fn event_name(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => concat!($prefix, $event), )*
                }
            }

            /// The payload of the data envelope that carries the event, as
            /// [`Event::encode`]($crate::zeek::Event::encode) writes it, without a value of it in
            /// between.
            $vis fn encode(self) -> $crate::Bytes {
                let (name, args) = (self.event_name(), self.arg_count());
                $crate::zeek::Event::encode_with(name, args, |out| self.put_args(out))
            }

            fn arg_count(&self) -> usize {
                match self {
                    $( Self::$variant { .. } => {
                        const PARAMS: &[&str] = &[$(stringify!($field)),*];
                        PARAMS.len()
                    } )*
                }
            }

            #[allow(unused_variables, reason = "events without parameters")]
            fn put_args(self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$variant { $($field),* } => {
                        $( $crate::zeek::ToData::put($field, out); )*
                    } )*
                }
            }
        }

        impl From<$name> for $crate::zeek::BareEvent {
            fn from(event: $name) -> Self {
                let (name, args) = (event.event_name(), event.arg_count());
                Self::with(name, args, |out| event.put_args(out))
            }
        }

        impl From<$name> for $crate::zeek::Event {
            fn from(event: $name) -> Self {
                let name = event.event_name();
                let args = match event {
                    $( $name::$variant { $($field),* } => {
                        vec![$($crate::zeek::ToData::into_data($field)),*]
                    } )*
                };
                Self::new(name, args)
            }
        }

        impl TryFrom<$crate::zeek::Event> for $name {
            type Error = $crate::zeek::EventError;

            fn try_from(
                event: $crate::zeek::Event,
            ) -> Result<Self, $crate::zeek::EventError> {
                let $crate::zeek::Event { name, args, .. } = event;
                match name.as_str() {
                    $( concat!($prefix, $event) => {
                        const PARAMS: &[&str] = &[$(stringify!($field)),*];
                        if args.len() != PARAMS.len() {
                            return Err($crate::zeek::EventError::ArgCount {
                                name, expected: PARAMS.len(), got: args.len(),
                            });
                        }
                        #[allow(unused_mut, unused_variables, reason = "events without parameters")]
                        let mut args = args.into_iter();
                        Ok(Self::$variant { $(
                            $field: match $crate::zeek::FromData::from_data(
                                args.next().unwrap_or($crate::Data::None),
                            ) {
                                Ok(value) => value,
                                Err(error) => return Err($crate::zeek::EventError::Arg {
                                    name, arg: stringify!($field), error,
                                }),
                            }
                        ),* })
                    } )*
                    _ => Err($crate::zeek::EventError::UnknownName(name)),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    zeek_events! {
        enum Sample("Sample::") {
            Ping = "ping" { text: String, number: u64 },
            Stop = "stop" {},
        }
    }

    #[test]
    fn metadata_may_be_absent_empty_or_unknown() {
        let args = vec![Data::string("hi"), Data::Count(7)];
        for metadata in [None, Some(vec![]), Some(vec![(200, Data::None)])] {
            let event = Event {
                name: "Sample::ping".into(),
                args: args.clone(),
                metadata,
            };
            assert_eq!(
                Event::from_data(event.clone().into_data()),
                Ok(event.clone())
            );
            let typed = Sample::Ping {
                text: "hi".into(),
                number: 7,
            };
            assert_eq!(Sample::try_from(event), Ok(typed));
        }
    }

    #[test]
    fn a_typed_event_is_written_as_the_same_bytes() {
        let ping = Sample::Ping {
            text: "hi".into(),
            number: 7,
        };
        for typed in [ping, Sample::Stop {}] {
            let event = Event::from(typed.clone());
            assert_eq!(typed.clone().encode(), event.clone().encode());
            let bare = Event {
                metadata: None,
                ..event.clone()
            };
            let message = View::of(&bare.into_data());
            assert_eq!(BareEvent::from(event).message(), &message);
            assert_eq!(BareEvent::from(typed).message(), &message);
        }
    }

    #[test]
    fn wrong_arguments_are_named() {
        let few = Event::new("Sample::ping", vec![Data::string("hi")]);
        let text = Sample::try_from(few).unwrap_err().to_string();
        assert_eq!(text, "Sample::ping takes 2 arguments, got 1");

        let wrong = Event::new("Sample::ping", vec![Data::string("hi"), Data::Integer(7)]);
        let text = Sample::try_from(wrong).unwrap_err().to_string();
        assert_eq!(
            text,
            "Sample::ping, argument number: expected count, got integer"
        );

        let unknown = Sample::try_from(Event::new("Sample::pong", vec![])).unwrap_err();
        assert_eq!(unknown, EventError::UnknownName("Sample::pong".into()));
    }

    #[test]
    fn an_event_without_parameters_round_trips() {
        assert_eq!(
            Sample::try_from(Event::from(Sample::Stop {})),
            Ok(Sample::Stop {})
        );
    }

    #[test]
    fn other_messages_are_told_apart() {
        let log = Data::Vector(vec![Data::Count(1), Data::Count(3), Data::Vector(vec![])]);
        assert_eq!(Event::from_data(log), Err(EventError::OtherMessage(3)));
        assert!(matches!(
            Event::from_data(Data::Count(1)),
            Err(EventError::Shape { .. })
        ));
    }
}
