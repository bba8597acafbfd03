//! Broker JSON v1: every value is `{"@data-type":T,"data":D}` (CLIENT §A5).
//!
//! What goes out is written by hand, in the key order of stock servers and in the strict JSON that
//! every version of zeek-client can read. What comes in is read leniently.

mod decode;
mod encode;
mod literals;
mod quick;
mod time;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use decode::{JsonError, JsonErrorKind, decode};
pub use encode::{encode, encode_view};

pub(crate) use decode::{decode_members, excerpt};
pub(crate) use encode::{estimate, put_members_of, put_text};
pub(crate) use quick::{message as quick_message, opening};

/// The most objects, arrays and separators one message may have; the limit `message_values`.
///
/// A parsed object takes some hundred bytes however short its text is; this bounds what a message
/// of full length can cost.
pub const MAX_TOKENS: usize = 1_000_000;

/// Text that is not a JSON document we read.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// More than [`MAX_TOKENS`].
    #[error("more than {MAX_TOKENS} values, the limit message_values")]
    TooMany,
    /// Not JSON, or nested deeper than 128 levels.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
}

/// Reads one JSON document.
///
/// Numbers without fraction and exponent stay exact over the whole range of `u64` and `i64`. The
/// bare words `nan`, `inf`, `NaN`, `Infinity` and their negatives, which stock servers and Python
/// write for reals, become strings that [`decode`] reads as reals. Of duplicate keys the last one
/// counts. At most 128 levels and [`MAX_TOKENS`].
///
/// # Errors
/// If the text is not such a document.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    if literals::count_tokens(text) > MAX_TOKENS {
        return Err(ParseError::TooMany);
    }
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match literals::quote_non_finite(text) {
        Some(quoted) => Ok(serde_json::from_str(&quoted)?),
        None => Err(error.into()),
    }
}
