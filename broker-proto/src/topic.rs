//! Topics and the filters that peers announce (WIRE §5.2, §6.1, §6.2).

use std::fmt;

use bytes::Bytes;

/// The longest topic an envelope can carry, in bytes.
pub const MAX_TOPIC_LEN: usize = u16::MAX as usize;

/// Topic of routing updates, pings and pongs.
pub const INTERNAL_TOPIC: Topic = Topic::from_static("<$>");

const LOCAL_PREFIX: &[u8] = b"<$>/local/";

/// A topic: any bytes, at most [`MAX_TOPIC_LEN`].
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Topic(Bytes);

/// A topic that does not fit an envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("topic has {len} bytes, more than {MAX_TOPIC_LEN}")]
pub struct TopicLengthError {
    /// Its length in bytes.
    pub len: usize,
}

impl Topic {
    /// A topic known when the program is built.
    pub const fn from_static(text: &'static str) -> Self {
        assert!(text.len() <= MAX_TOPIC_LEN, "topic is too long");
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Any bytes as a topic.
    ///
    /// # Errors
    /// If there are more than [`MAX_TOPIC_LEN`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TopicLengthError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_TOPIC_LEN {
            return Err(TopicLengthError { len: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// The topic of an envelope, which shares the envelope's memory. Its length field keeps it
    /// within [`MAX_TOPIC_LEN`].
    pub(crate) fn from_envelope(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether `self` is a byte prefix of `other`; `/` has no meaning (WIRE §6.2).
    pub fn is_prefix_of(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether the topic must stay inside one endpoint (WIRE §6.4).
    pub fn is_local(&self) -> bool {
        self.0.starts_with(LOCAL_PREFIX)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The topic prefixes an endpoint wants to receive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter(Vec<Topic>);

impl Filter {
    /// A peer's filter as it came: any order, redundant entries kept.
    pub fn from_wire(topics: Vec<Topic>) -> Self {
        Self(topics)
    }

    /// Adds a subscription and keeps the filter minimal and sorted, as stock's own is (WIRE §6.1).
    /// Returns whether the filter changed; topics under `<$>/local/` never enter.
    pub fn extend(&mut self, topic: Topic) -> bool {
        if topic.is_local() || self.matches(&topic) {
            return false;
        }
        self.0.retain(|old| !topic.is_prefix_of(old));
        let at = self.0.partition_point(|old| *old < topic);
        self.0.insert(at, topic);
        true
    }

    /// Whether any entry is a prefix of `topic`.
    pub fn matches(&self, topic: &Topic) -> bool {
        self.0.iter().any(|entry| entry.is_prefix_of(topic))
    }

    /// The entries in wire order.
    pub fn topics(&self) -> &[Topic] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(topics: &[&'static str]) -> Filter {
        let mut filter = Filter::default();
        for topic in topics {
            filter.extend(Topic::from_static(topic));
        }
        filter
    }

    #[test]
    fn a_shorter_topic_replaces_those_it_covers() {
        let mut f = filter(&["/test", "/new"]);
        assert_eq!(
            f,
            Filter(vec![
                Topic::from_static("/new"),
                Topic::from_static("/test")
            ])
        );
        assert!(f.extend(Topic::from_static("/")));
        assert_eq!(f.topics(), [Topic::from_static("/")]);
        assert!(!f.extend(Topic::from_static("/test")));
    }

    #[test]
    fn a_prefix_matches_without_a_component_boundary() {
        let f = filter(&["/foo"]);
        assert!(f.matches(&Topic::from_static("/foobar")));
        assert!(!f.matches(&Topic::from_static("/fo")));
        assert!(filter(&[""]).matches(&Topic::from_static("x")));
    }

    #[test]
    fn local_topics_never_enter() {
        assert!(!filter(&[]).extend(Topic::from_static("<$>/local/data/errors")));
    }

    #[test]
    fn a_topic_longer_than_its_length_field_is_refused() {
        assert_eq!(
            Topic::new(vec![b'x'; 65_536]),
            Err(TopicLengthError { len: 65_536 })
        );
    }
}
