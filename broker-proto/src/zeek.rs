//! What Zeek puts inside [`Data`](crate::Data): events (WIRE §8.2) and records (WIRE §8.6).

pub mod event;
pub mod record;

pub use event::{Event, EventError};
pub use record::{ConvertError, FromData, ToData};
