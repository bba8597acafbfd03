//! What agents say unasked, as far as it helps to answer clients (API §2.2 `notify_error`).

use std::collections::VecDeque;

/// Most notices kept, over all agents; the oldest go first.
const MAX_KEPT: usize = 256;

/// Most characters kept of one.
const MAX_TEXT: usize = 1024;

/// The latest errors that agents told of.
#[derive(Debug, Default)]
pub(super) struct Notices {
    kept: VecDeque<Notice>,
}

#[derive(Debug)]
struct Notice {
    instance: String,
    node: String,
    text: String,
}

impl Notices {
    pub(super) fn keep(&mut self, instance: &str, node: &str, text: &str) {
        if self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Notice {
            instance: instance.to_owned(),
            node: node.to_owned(),
            text: text.chars().take(MAX_TEXT).collect(),
        });
    }

    /// What an agent said last about a node.
    pub(super) fn reason(&self, instance: &str, node: &str) -> Option<&str> {
        let mut latest = self.kept.iter().rev();
        let found = latest.find(|n| n.instance == instance && n.node == node);
        found.map(|notice| notice.text.as_str())
    }

    /// An agent begins anew, so what it said is about nodes that are no more.
    pub(super) fn forget(&mut self, instance: &str) {
        self.kept.retain(|notice| notice.instance != instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_notice_of_a_node_counts_until_its_agent_begins_anew() {
        let mut notices = Notices::default();
        notices.keep("a", "w", "one");
        notices.keep("a", "w", "two");
        notices.keep("b", "w", "other");
        assert_eq!(notices.reason("a", "w"), Some("two"));
        notices.forget("a");
        assert_eq!(notices.reason("a", "w"), None);
        assert_eq!(notices.reason("b", "w"), Some("other"));
    }

    #[test]
    fn notices_are_bounded_in_number_and_length() {
        let mut notices = Notices::default();
        notices.keep("a", "first", "x");
        for n in 0..MAX_KEPT {
            notices.keep("a", &n.to_string(), &"x".repeat(MAX_TEXT + 1));
        }
        assert_eq!(notices.reason("a", "first"), None);
        assert_eq!(notices.reason("a", "0").unwrap().len(), MAX_TEXT);
        assert_eq!(notices.kept.len(), MAX_KEPT);
    }
}
