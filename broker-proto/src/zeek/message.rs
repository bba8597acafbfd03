//! Every message that Zeek puts into a data envelope (WIRE §8.1).

use bytes::Bytes;

use super::event::{Event, EventError};
use super::log::{LogCreate, LogWrite};
use crate::codec::{self, DecodeError, Limits};
use crate::data::{ByteString, Data};

const FORMAT: u64 = 1;

/// One message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// Something happened, or is asked for (WIRE §8.2).
    Event(Event),
    /// A log stream has a writer (WIRE §8.3).
    LogCreate(LogCreate),
    /// One record of a log (WIRE §8.4).
    LogWrite(LogWrite),
    /// A global has another value (WIRE §8.5).
    IdentifierUpdate {
        /// The name of the global.
        name: ByteString,
        /// Its value.
        value: Data,
    },
    /// Several messages, which count as one: none does if one is malformed (WIRE §8.5).
    Batch(Vec<Self>),
}

/// Why a value is no message of Zeek's.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// The bytes are no value.
    #[error("undecodable value: {0}")]
    Undecodable(#[source] DecodeError),
    /// Not a vector of version 1 with a type and a content.
    #[error("not a Zeek message: {0}")]
    Frame(&'static str),
    /// A type that does not exist.
    #[error("Zeek message of unknown type {0}")]
    UnknownType(u64),
    /// A part of the content is missing or of another type.
    #[error("malformed {message}: no {part}")]
    Content {
        /// What kind of message it is.
        message: &'static str,
        /// The part.
        part: &'static str,
    },
    /// The event in it is malformed.
    #[error("malformed event")]
    Event(#[source] EventError),
}

impl Message {
    /// The payload of the data envelope that carries the message.
    pub fn encode(self) -> Bytes {
        codec::data::encode(&self.into_data())
    }

    /// Reads the payload of a data envelope.
    ///
    /// # Errors
    /// If it is not one value, or that value is no message.
    pub fn decode(payload: &[u8], limits: &Limits) -> Result<Self, MessageError> {
        let data = codec::data::decode(payload, limits).map_err(MessageError::Undecodable)?;
        Self::from_data(data)
    }

    /// The message vector of WIRE §8.1.
    pub fn into_data(self) -> Data {
        let (kind, content) = match self {
            Self::Event(event) => return event.into_data(),
            Self::LogCreate(create) => (Kind::LogCreate, create.into_content()),
            Self::LogWrite(write) => (Kind::LogWrite, write.into_content()),
            Self::IdentifierUpdate { name, value } => {
                (Kind::IdentifierUpdate, vec![Data::String(name), value])
            }
            Self::Batch(messages) => {
                let messages = messages.into_iter().map(Self::into_data);
                (Kind::Batch, messages.collect())
            }
        };
        Data::Vector(vec![
            Data::Count(FORMAT),
            Data::Count(kind.code()),
            Data::Vector(content),
        ])
    }

    /// Reads the message vector of WIRE §8.1. Surplus elements are ignored, as in stock. Batches
    /// nest as deeply as the value does, which [`Limits::depth`] bounds for what was decoded.
    ///
    /// # Errors
    /// If the value is no message of version 1 and known type with the content that belongs to it.
    pub fn from_data(data: Data) -> Result<Self, MessageError> {
        match Kind::of(&data)? {
            Kind::Event => Event::from_data(data)
                .map(Self::Event)
                .map_err(MessageError::Event),
            Kind::LogCreate => LogCreate::from_content(content(data)?).map(Self::LogCreate),
            Kind::LogWrite => LogWrite::from_content(content(data)?).map(Self::LogWrite),
            Kind::IdentifierUpdate => identifier_update(content(data)?),
            Kind::Batch => {
                let messages = content(data)?.into_iter().map(Self::from_data);
                messages.collect::<Result<_, _>>().map(Self::Batch)
            }
        }
    }
}

/// The type of a message.
#[derive(Clone, Copy)]
enum Kind {
    Event,
    LogCreate,
    LogWrite,
    IdentifierUpdate,
    Batch,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Event,
        Self::LogCreate,
        Self::LogWrite,
        Self::IdentifierUpdate,
        Self::Batch,
    ];

    fn code(self) -> u64 {
        match self {
            Self::Event => 1,
            Self::LogCreate => 2,
            Self::LogWrite => 3,
            Self::IdentifierUpdate => 4,
            Self::Batch => 5,
        }
    }

    fn of(data: &Data) -> Result<Self, MessageError> {
        let Data::Vector(message) = data else {
            return Err(MessageError::Frame("not a vector"));
        };
        match message.as_slice() {
            [Data::Count(FORMAT), Data::Count(code), ..] => {
                let kind = Self::ALL.into_iter().find(|kind| kind.code() == *code);
                kind.ok_or(MessageError::UnknownType(*code))
            }
            [Data::Count(FORMAT), ..] => Err(MessageError::Frame("no message type")),
            _ => Err(MessageError::Frame("version is not 1")),
        }
    }
}

fn content(data: Data) -> Result<Vec<Data>, MessageError> {
    if let Data::Vector(message) = data
        && let Some(Data::Vector(content)) = message.into_iter().nth(2)
    {
        return Ok(content);
    }
    Err(MessageError::Frame("no content"))
}

fn identifier_update(content: Vec<Data>) -> Result<Message, MessageError> {
    let part = |part| MessageError::Content {
        message: "identifier update",
        part,
    };
    let mut content = content.into_iter();
    let Some(Data::String(name)) = content.next() else {
        return Err(part("name"));
    };
    let value = content.next().ok_or_else(|| part("value"))?;
    Ok(Message::IdentifierUpdate { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u64, content: Vec<Data>) -> Data {
        Data::Vector(vec![
            Data::Count(1),
            Data::Count(kind),
            Data::Vector(content),
        ])
    }

    #[test]
    fn an_identifier_update_has_the_bytes_of_the_specification() {
        // WIRE §8.5.
        let head = [
            0x0e, 3, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0x0e, 2,
        ];
        let value = [2, 0, 0, 0, 0, 0, 0, 0, 99];
        let bytes = [&head, &b"\x05\x0fTest::threshold"[..], &value].concat();
        let update = Message::IdentifierUpdate {
            name: "Test::threshold".into(),
            value: Data::Count(99),
        };
        assert_eq!(
            Message::decode(&bytes, &Limits::default()),
            Ok(update.clone())
        );
        assert_eq!(update.encode(), bytes);
    }

    #[test]
    fn one_malformed_member_spoils_the_batch() {
        let update = message(4, vec![Data::string("x"), Data::None]);
        let batch = message(5, vec![update.clone(), message(5, vec![update.clone()])]);
        assert!(
            matches!(Message::from_data(batch), Ok(Message::Batch(members)) if members.len() == 2)
        );
        let batch = message(5, vec![update, message(4, vec![Data::string("x")])]);
        let error = Message::from_data(batch).unwrap_err();
        assert_eq!(error.to_string(), "malformed identifier update: no value");
    }

    #[test]
    fn options_of_a_log_writer_are_texts() {
        let create = |value| {
            let options = [(Data::string("tsv"), value)];
            let [time, text] = [Data::Real(0.0), Data::string("")];
            let info = vec![
                text.clone(),
                time.clone(),
                time.clone(),
                time,
                Data::Table(options.into_iter().collect()),
                text,
            ];
            let [stream, writer] = ["Conn::LOG", "Log::WRITER_ASCII"].map(Data::enum_value);
            let fields = Data::Vector(Vec::new());
            Message::from_data(message(2, vec![stream, writer, Data::Vector(info), fields]))
        };
        assert!(matches!(
            create(Data::string("T")),
            Ok(Message::LogCreate(_))
        ));
        let error = create(Data::Boolean(true)).unwrap_err();
        assert_eq!(error.to_string(), "malformed log create: no writer options");
    }

    #[test]
    fn other_values_are_no_messages() {
        let error = |data| Message::from_data(data).unwrap_err();
        assert_eq!(error(message(6, vec![])), MessageError::UnknownType(6));
        assert_eq!(error(Data::None), MessageError::Frame("not a vector"));
        let part = "stream";
        let message_name = "log write";
        assert_eq!(
            error(message(3, vec![])),
            MessageError::Content {
                message: message_name,
                part
            }
        );
    }
}
