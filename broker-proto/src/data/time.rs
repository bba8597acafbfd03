//! Points in time and lengths of time, in nanoseconds.

/// Nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(pub i64);

/// A length of time in nanoseconds; may be negative.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timespan(pub i64);
