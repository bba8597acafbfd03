//! Logs: what a writer is (WIRE §8.3), and its records in Zeek's own serialization (WIRE §8.4).

mod record;

pub use record::{LogBody, LogRecord, LogRecordError, LogValue};

use super::message::MessageError;
use crate::data::{ByteString, Data, Table};

/// A log stream has a writer, with these fields. Peers get one for every writer there is, asked
/// or not, and the same one more than once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogCreate {
    /// The stream, as in `Conn::LOG`.
    pub stream: ByteString,
    /// The kind of writer, as in `Log::WRITER_ASCII`.
    pub writer: ByteString,
    /// Where and how it writes.
    pub info: WriterInfo,
    /// The columns.
    pub fields: Vec<LogField>,
}

/// Where and how a writer writes.
#[derive(Clone, Debug)]
pub struct WriterInfo {
    /// The log's name, as in `conn`.
    pub path: ByteString,
    /// Seconds; 0 unless rotation is aligned to a time of day.
    pub rotation_base: f64,
    /// Seconds; 0 for no rotation.
    pub rotation_interval: f64,
    /// Seconds since 1970-01-01 UTC; 0 before there is traffic.
    pub network_time: f64,
    /// The writer's own options, strings by strings.
    pub config: Table,
    /// The function that runs after a rotation, or empty.
    pub postprocessor: ByteString,
}

/// A column of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogField {
    /// Its name, as in `id.orig_h`.
    pub name: ByteString,
    /// Another name, for lookups; stock never sends one.
    pub secondary_name: Option<ByteString>,
    /// A type code of WIRE §8.4.
    pub kind: u64,
    /// The type code of a set's or vector's elements; 0 for others.
    pub subkind: u64,
    /// Whether records may leave it out.
    pub optional: bool,
}

/// One record of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogWrite {
    /// The stream, as in `Conn::LOG`.
    pub stream: ByteString,
    /// The kind of writer, as in `Log::WRITER_ASCII`.
    pub writer: ByteString,
    /// The log's name, as in `conn`.
    pub path: ByteString,
    /// The values, serialized; [`LogRecord::decode`] reads them.
    pub record: ByteString,
}

impl LogCreate {
    pub(super) fn into_content(self) -> Vec<Data> {
        let fields = self.fields.into_iter().map(LogField::into_data);
        vec![
            Data::Enum(self.stream),
            Data::Enum(self.writer),
            self.info.into_data(),
            Data::Vector(fields.collect()),
        ]
    }

    pub(super) fn from_content(content: Vec<Data>) -> Result<Self, MessageError> {
        let mut parts = Parts::new("log create", content);
        let stream = parts.enum_value("stream")?;
        let writer = parts.enum_value("writer")?;
        let info = WriterInfo::from_parts(parts.vector("writer info")?)?;
        let fields = parts.vector("fields")?.0.map(LogField::from_data);
        Ok(Self {
            stream,
            writer,
            info,
            fields: fields.collect::<Result<_, _>>()?,
        })
    }
}

impl WriterInfo {
    fn into_data(self) -> Data {
        Data::Vector(vec![
            Data::String(self.path),
            Data::Real(self.rotation_base),
            Data::Real(self.rotation_interval),
            Data::Real(self.network_time),
            Data::Table(self.config),
            Data::String(self.postprocessor),
        ])
    }

    fn from_parts(mut parts: Parts) -> Result<Self, MessageError> {
        Ok(Self {
            path: parts.string("path")?,
            rotation_base: parts.real("rotation base")?,
            rotation_interval: parts.real("rotation interval")?,
            network_time: parts.real("network time")?,
            config: match parts.0.next() {
                Some(Data::Table(config)) if config.iter().all(are_strings) => config,
                Some(_) | None => return Err(parts.missing("writer options")),
            },
            postprocessor: parts.string("postprocessor")?,
        })
    }
}

/// Times compare as reals in [`Data`] do: NaN equals itself.
impl PartialEq for WriterInfo {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_data() == other.clone().into_data()
    }
}

impl Eq for WriterInfo {}

fn are_strings((key, value): (&Data, &Data)) -> bool {
    matches!((key, value), (Data::String(_), Data::String(_)))
}

impl LogField {
    fn into_data(self) -> Data {
        Data::Vector(vec![
            Data::String(self.name),
            self.secondary_name.map_or(Data::None, Data::String),
            Data::Count(self.kind),
            Data::Count(self.subkind),
            Data::Boolean(self.optional),
        ])
    }

    fn from_data(field: Data) -> Result<Self, MessageError> {
        let Data::Vector(parts) = field else {
            return Err(Parts::new("log create", Vec::new()).missing("field"));
        };
        let mut parts = Parts::new("log create", parts);
        Ok(Self {
            name: parts.string("field name")?,
            secondary_name: match parts.0.next() {
                Some(Data::None) => None,
                Some(Data::String(name)) => Some(name),
                Some(_) | None => return Err(parts.missing("secondary name")),
            },
            kind: parts.count("field type")?,
            subkind: parts.count("field subtype")?,
            optional: match parts.0.next() {
                Some(Data::Boolean(optional)) => optional,
                Some(_) | None => return Err(parts.missing("mark of optional fields")),
            },
        })
    }
}

impl LogWrite {
    pub(super) fn into_content(self) -> Vec<Data> {
        vec![
            Data::Enum(self.stream),
            Data::Enum(self.writer),
            Data::String(self.path),
            Data::String(self.record),
        ]
    }

    pub(super) fn from_content(content: Vec<Data>) -> Result<Self, MessageError> {
        let mut parts = Parts::new("log write", content);
        Ok(Self {
            stream: parts.enum_value("stream")?,
            writer: parts.enum_value("writer")?,
            path: parts.string("path")?,
            record: parts.string("record")?,
        })
    }
}

/// The parts of a message that have not been looked at.
struct Parts(std::vec::IntoIter<Data>, &'static str);

impl Parts {
    fn new(message: &'static str, parts: Vec<Data>) -> Self {
        Self(parts.into_iter(), message)
    }

    fn missing(&self, part: &'static str) -> MessageError {
        let message = self.1;
        MessageError::Content { message, part }
    }

    fn string(&mut self, part: &'static str) -> Result<ByteString, MessageError> {
        match self.0.next() {
            Some(Data::String(text)) => Ok(text),
            Some(_) | None => Err(self.missing(part)),
        }
    }

    fn enum_value(&mut self, part: &'static str) -> Result<ByteString, MessageError> {
        match self.0.next() {
            Some(Data::Enum(name)) => Ok(name),
            Some(_) | None => Err(self.missing(part)),
        }
    }

    fn count(&mut self, part: &'static str) -> Result<u64, MessageError> {
        match self.0.next() {
            Some(Data::Count(count)) => Ok(count),
            Some(_) | None => Err(self.missing(part)),
        }
    }

    fn real(&mut self, part: &'static str) -> Result<f64, MessageError> {
        match self.0.next() {
            Some(Data::Real(real)) => Ok(real),
            Some(_) | None => Err(self.missing(part)),
        }
    }

    fn vector(&mut self, part: &'static str) -> Result<Self, MessageError> {
        match self.0.next() {
            Some(Data::Vector(parts)) => Ok(Self::new(self.1, parts)),
            Some(_) | None => Err(self.missing(part)),
        }
    }
}
