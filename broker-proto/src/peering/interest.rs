//! What a peer wants to receive, in the form that routing asks (WIRE §6.2).

use super::{EmptyPrefix, Options};
use crate::topic::{Filter, Topic};

/// The prefixes of a filter, sorted and without those that another one covers. So at most one of
/// them is a prefix of a topic.
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
    /// The prefixes.
    pub(super) fn topics(&self) -> &[Topic] {
        &self.0
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
    fn an_interest_holds_no_prefix_of_another_one() {
        let names = ["/b", "/a/b", "/a", "/ab", "/a0", "/b", "zeek/x"];
        let filter = Filter::from_wire(names.map(Topic::from_static).into());
        let interest = Interest::from(filter);
        let expected = ["/a", "/b", "zeek/x"].map(Topic::from_static);
        assert_eq!(interest.topics(), expected);
        let everything = Filter::from_wire(["/b", ""].map(Topic::from_static).into());
        let expected = [Topic::from_static("")];
        assert_eq!(Interest::from(everything).topics(), expected);
    }
}
