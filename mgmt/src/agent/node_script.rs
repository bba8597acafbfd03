//! The script that makes a Zeek process a node its agent can talk to (API §6).
//!
//! Zeek brings one along from 5.0 to 9.0. For later versions there is ours, written from the API.
//! It is part of the program, which puts it where nodes can load it.

#[cfg(test)]
mod tests;

/// Zeek's own, by the name that it is loaded with.
pub const STOCK: &str = "policy/frameworks/management/node";

/// Where ours is put, below the state directory.
pub const DIRECTORY: &str = "zeek-mgmt/frameworks/management/node";

/// The files of ours, with their texts. The first one loads the others.
pub const FILES: [(&str, &str); 3] = [
    ("__load__.zeek", include_str!("../../zeek/__load__.zeek")),
    ("node.zeek", include_str!("../../zeek/node.zeek")),
    ("settings.zeek", include_str!("../../zeek/settings.zeek")),
];

/// The environment variable by which ours learns where rotated logs go. Zeek's own has other
/// scripts for that, which went with it.
pub const LOG_QUEUE_VARIABLE: &str = "ZEEK_MGMT_LOG_QUEUE";

/// Which of them nodes load.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NodeScript {
    /// Zeek's own.
    #[default]
    Stock,
    /// Ours.
    Own,
}

impl NodeScript {
    /// The word for it among arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Own => "own",
        }
    }

    /// The script that the word stands for.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Stock, Self::Own]
            .into_iter()
            .find(|script| script.as_str() == name)
    }
}
