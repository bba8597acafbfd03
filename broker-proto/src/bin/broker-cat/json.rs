//! The notation of WIRE §12.

pub(crate) mod read;
pub(crate) mod write;
