//! What Zeek puts inside [`Data`](crate::Data): messages (WIRE §8.1), which are events, logs and
//! batches of them, and records (WIRE §8.6).

pub mod any;
pub mod event;
pub mod log;
pub mod message;
pub mod record;

pub use any::Any;
pub use event::{BareEvent, Event, EventError};
pub use message::{Message, MessageError};
pub use record::{ConvertError, FromData, ToData};
