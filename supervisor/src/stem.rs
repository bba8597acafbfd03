//! The pipe protocol between a supervisor and a stem: NUL-ended text both ways (API §10.2).
//!
//! A stem believes what it is told, so nothing leaves here that it could stumble over: names
//! without blanks and NULs only, one node per stem.

mod json;

use bytes::Bytes;

use crate::api::{Layout, NodeConfig};

/// The longest message taken from a stem, in bytes without its NUL.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The order to start a node. `zeek` is the stem's version, if that is known; else the layout that
/// `config` came in tells (API §10.3).
pub fn create(config: &NodeConfig, zeek: Option<Layout>) -> Bytes {
    let mut text = format!("create {} ", config.name);
    json::write_node(config, zeek, &mut text);
    text.push('\0');
    text.into()
}

/// The JSON of that order, for those who tell a node otherwise ([`crate::standing`]).
pub(crate) fn write_json(config: &NodeConfig) -> String {
    let mut text = String::new();
    json::write_node(config, None, &mut text);
    text
}

/// Reads what [`create`] writes after the node's name, as a stem would.
///
/// # Errors
/// If it is no JSON, or a member is missing or of another type than API §10.3 says.
pub fn read_json(text: &str) -> Result<NodeConfig, ConfigError> {
    json::read::node(text)
}

/// Why a text is no node's configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// It is no JSON.
    #[error("no JSON: {reason}")]
    Json {
        /// What is wrong, and where.
        reason: String,
    },
    /// A member is missing, or not what it should be.
    #[error("{at} is not {expected}")]
    Member {
        /// The member, from the outside in.
        at: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// What a stem says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// A node was started.
    Status {
        /// Its name.
        node: String,
        /// Its process id; 0 if it could not be forked.
        pid: u32,
    },
    /// Something went wrong, or was put right.
    Error {
        /// What, in words; [`Report::parse`] knows some of them.
        text: String,
    },
    /// Chatter of debug builds.
    Debug {
        /// In words.
        text: String,
    },
}

/// Why bytes from a stem are no message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// There is no NUL where one is due.
    #[error("stem message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    /// No message starts like that.
    #[error("stem message '{0}' is not understood")]
    Unknown(String),
}

impl Message {
    fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let text = String::from_utf8_lossy(bytes);
        let unknown = || MessageError::Unknown(text.chars().take(100).collect());
        let (kind, rest) = text.split_once(' ').ok_or_else(unknown)?;
        match kind {
            "status" => {
                let (node, pid) = rest.split_once(' ').ok_or_else(unknown)?;
                let pid = pid.parse().map_err(|_| unknown())?;
                let node = node.to_owned();
                Ok(Self::Status { node, pid })
            }
            "error" => Ok(Self::Error { text: rest.into() }),
            "debug" => Ok(Self::Debug { text: rest.into() }),
            _ => Err(unknown()),
        }
    }
}

/// Cuts a stem's status pipe into messages.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    partial: Vec<u8>,
    /// Set between the point where a message became too long and its end.
    skipping: bool,
}

impl Decoder {
    /// Takes bytes cut anywhere; returns the messages they complete. A message that is too long is
    /// reported once and skipped.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Result<Message, MessageError>> {
        let mut done = Vec::new();
        for piece in chunk.split_inclusive(|&byte| byte == 0) {
            let (text, ended) = match piece.split_last() {
                Some((0, text)) => (text, true),
                _ => (piece, false),
            };
            if !self.skipping && self.partial.len() + text.len() > MAX_MESSAGE {
                done.push(Err(MessageError::TooLong));
                self.skipping = true;
                self.partial = Vec::new();
            }
            if !self.skipping {
                self.partial.extend_from_slice(text);
            }
            if ended {
                let bytes = std::mem::take(&mut self.partial);
                if !std::mem::take(&mut self.skipping) {
                    done.push(Message::parse(&bytes));
                }
            }
        }
        done
    }
}

/// What a stem's error text says about its node (API §10.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// The node ended by itself.
    Exited {
        /// The dead process.
        pid: u32,
        /// Its exit status.
        status: i32,
    },
    /// A signal that the stem did not send killed the node.
    Killed {
        /// The dead process.
        pid: u32,
        /// The signal.
        signal: i32,
    },
    /// The node was started again.
    Revived {
        /// The living process.
        pid: u32,
    },
    /// Anything else.
    Other,
}

impl Report {
    /// Reads the text of [`Message::Error`] from the stem of `node`.
    pub fn parse(node: &str, text: &str) -> Self {
        Self::parse_known(node, text).unwrap_or(Self::Other)
    }

    fn parse_known(node: &str, text: &str) -> Option<Self> {
        let rest = text.strip_prefix("Supervised node '")?;
        let rest = rest.strip_prefix(node)?.strip_prefix("' (PID ")?;
        let (pid, event) = rest.split_once(") ")?;
        let pid = pid.parse().ok()?;
        if event == "revived after premature exit" {
            return Some(Self::Revived { pid });
        }
        if let Some(status) = event.strip_prefix("exited prematurely with status ") {
            let status = status.parse().ok()?;
            return Some(Self::Exited { pid, status });
        }
        let signal = event.strip_prefix("terminated prematurely by signal ")?;
        let signal = signal.parse().ok()?;
        Some(Self::Killed { pid, signal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(node: &str, pid: u32) -> Result<Message, MessageError> {
        let node = node.into();
        Ok(Message::Status { node, pid })
    }

    #[test]
    fn messages_may_be_cut_anywhere() {
        let bytes = b"status worker-01 71\0error it broke\0debug x y\0status";
        for size in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let chunks = bytes.chunks(size);
            let got: Vec<_> = chunks.flat_map(|chunk| decoder.push(chunk)).collect();
            let error = Message::Error {
                text: "it broke".into(),
            };
            let debug = Message::Debug { text: "x y".into() };
            assert_eq!(got, [status("worker-01", 71), Ok(error), Ok(debug)]);
        }
    }

    #[test]
    fn a_message_without_end_is_reported_once_and_skipped() {
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        for _ in 0..100 {
            got.extend(decoder.push(&[b'x'; 1000]));
        }
        got.extend(decoder.push(b"\0status a 1\0"));
        assert_eq!(got, [Err(MessageError::TooLong), status("a", 1)]);
    }

    #[test]
    fn nonsense_is_named() {
        for text in [
            "",
            "status",
            "status a",
            "status a b",
            "status a -1",
            "hello you",
        ] {
            let bytes = [text.as_bytes(), b"\0"].concat();
            let got = Decoder::default().push(&bytes);
            assert_eq!(got, [Err(MessageError::Unknown(text.into()))]);
        }
        assert_eq!(Decoder::default().push(b"\xff\0").len(), 1);
    }

    #[test]
    fn known_error_texts_are_understood() {
        let parse = |text| Report::parse("w'1", text);
        assert_eq!(
            parse("Supervised node 'w'1' (PID 71) exited prematurely with status 1"),
            Report::Exited { pid: 71, status: 1 }
        );
        assert_eq!(
            parse("Supervised node 'w'1' (PID 71) terminated prematurely by signal 9"),
            Report::Killed { pid: 71, signal: 9 }
        );
        assert_eq!(
            parse("Supervised node 'w'1' (PID 72) revived after premature exit"),
            Report::Revived { pid: 72 }
        );
        assert_eq!(
            parse("Supervised node 'w2' (PID 71) exited prematurely with status 1"),
            Report::Other
        );
        assert_eq!(parse("Stem poll() failed: Bad address"), Report::Other);
    }
}
