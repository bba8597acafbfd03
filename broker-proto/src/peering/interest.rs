//! What a peer wants to receive, in the form that routing asks (WIRE §6.2).

use super::{EmptyPrefix, Options};
use crate::topic::{Filter, Topic};

/// The prefixes of a filter, sorted and without those that another one covers.
///
/// So the only entry that can be a prefix of a topic is the greatest that is not above it: whatever
/// sorts between a prefix and the topic starts with the prefix too, and would be covered.
#[derive(Debug, Default)]
pub(super) struct Interest(Vec<Topic>);

/// Why a peer's filter is not taken (WIRE §11).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum FilterError {
    #[error("filter of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("filter asks for everything")]
    Everything,
}

/// Checks what a codec cannot know.
///
/// # Errors
/// If the filter is above the limit, or holds the empty prefix against the policy.
pub(super) fn admit(filter: &Filter, options: &Options) -> Result<(), FilterError> {
    let sizes = filter.topics().iter().map(|topic| topic.as_bytes().len());
    let (bytes, limit) = (sizes.clone().sum(), options.filter_bytes);
    if bytes > limit {
        return Err(FilterError::TooLarge { bytes, limit });
    }
    if options.empty_prefix == EmptyPrefix::Refused && sizes.clone().any(|size| size == 0) {
        return Err(FilterError::Everything);
    }
    Ok(())
}

impl Interest {
    /// Whether a prefix of `topic` is in the filter.
    pub(super) fn matches(&self, topic: &Topic) -> bool {
        let above = self.0.partition_point(|entry| entry <= topic);
        let candidate = above.checked_sub(1).and_then(|at| self.0.get(at));
        candidate.is_some_and(|entry| entry.is_prefix_of(topic))
    }
}

impl From<Filter> for Interest {
    fn from(filter: Filter) -> Self {
        let mut topics = filter.topics().to_vec();
        topics.sort_unstable();
        topics.dedup_by(|next, kept| kept.is_prefix_of(next));
        topics.shrink_to_fit();
        Self(topics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interest_matches_what_its_filter_matches() {
        let names = ["", "/", "/a", "/a/b", "/a/b/c", "/a0", "/ab", "/b", "zeek"];
        let topics = names.map(Topic::from_static);
        for chosen in 0_u32..1 << names.len() {
            let picked = (0..names.len()).rev().filter(|i| chosen >> i & 1 == 1);
            let filter = Filter::from_wire(picked.map(|i| topics[i].clone()).collect());
            let interest = Interest::from(filter.clone());
            for topic in &topics {
                let wanted = filter.matches(topic);
                assert_eq!(interest.matches(topic), wanted, "{topic} in {filter:?}");
            }
        }
    }
}
