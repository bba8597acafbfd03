//! Values as typed on a command line.

use broker_proto::Data;

use crate::json::read::{self, ReadError};

/// The value of `TYPE:VALUE`, of `none`, or of JSON.
///
/// # Errors
/// If it is none of them.
pub(crate) fn value(text: &str) -> Result<Data, ReadError> {
    if text.starts_with('{') {
        return read::data(&read::parse(text)?);
    }
    match text.split_once(':') {
        Some((kind, value)) => read::scalar(kind, value),
        None if text == "none" => Ok(Data::None),
        None => Err(ReadError(format!("'{text}' is not TYPE:VALUE"))),
    }
}
