//! The text on the stem's pipes: messages end with NUL, fields are split at single blanks
//! (API §10.2), and node output is cut into lines (API §9.5 S12).

/// The longest message taken; a layout of thousands of nodes stays below.
const MAX_MESSAGE: usize = 16 << 20;

/// The longest line passed on whole; a longer one is passed on in parts.
const MAX_LINE: usize = 64 << 10;

/// What the supervisor orders.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Command {
    /// Start a node; the JSON is not read yet.
    Create {
        /// Its name.
        name: String,
        /// Everything after the second blank.
        json: String,
    },
    /// Stop a node and forget it.
    Destroy {
        /// Its name.
        name: String,
    },
    /// Stop a node and start it again.
    Restart {
        /// Its name.
        name: String,
    },
}

impl Command {
    /// Reads one message without its NUL.
    ///
    /// # Errors
    /// If it is no command: the text that stock complains about. A message without a blank, which
    /// makes stock fail in undefined ways, is returned whole.
    pub(super) fn parse(message: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(message);
        let (command, rest) = text.split_once(' ').ok_or_else(|| text.to_string())?;
        match command {
            "create" => {
                let (name, json) = rest.split_once(' ').ok_or_else(|| text.to_string())?;
                let (name, json) = (name.to_owned(), json.to_owned());
                Ok(Self::Create { name, json })
            }
            "destroy" => Ok(Self::Destroy { name: rest.into() }),
            "restart" => Ok(Self::Restart { name: rest.into() }),
            _ => Err(command.to_owned()),
        }
    }
}

/// Puts messages together from reads of any size.
#[derive(Debug, Default)]
pub(super) struct MessageDecoder {
    partial: Vec<u8>,
}

impl MessageDecoder {
    /// Takes what was read and returns the messages it completes, without their NULs.
    ///
    /// # Errors
    /// If a message is longer than 16 MiB. Nothing after it can be trusted.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut messages = Vec::new();
        let mut parts = chunk.split(|&b| b == 0).peekable();
        while let Some(part) = parts.next() {
            if self.partial.len() + part.len() > MAX_MESSAGE {
                return Err(format!("message has more than {MAX_MESSAGE} bytes"));
            }
            self.partial.extend_from_slice(part);
            if parts.peek().is_some() {
                messages.push(std::mem::take(&mut self.partial));
            }
        }
        Ok(messages)
    }
}

/// Cuts one stream of a node's output at its newlines.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    partial: Vec<u8>,
}

impl LineCutter {
    /// Takes what was read and returns the lines it completes; empty ones are dropped.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut parts = chunk.split(|&b| b == b'\n').peekable();
        while let Some(part) = parts.next() {
            self.partial.extend_from_slice(part);
            if parts.peek().is_some() || self.partial.len() > MAX_LINE {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// The rest that has no newline, at the end of the stream.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.partial);
        (!line.is_empty()).then_some(line)
    }
}

/// A node's line as the stem writes it.
pub(super) fn output_line(out: &mut Vec<u8>, node: &str, line: &[u8]) {
    for part in [b"[", node.as_bytes(), b"] ", line, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// What the stem reports; `to_string` gives the text without its NUL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Report {
    /// A node was spawned; pid 0 says that it was not.
    Status {
        /// The node.
        name: String,
        /// Its process.
        pid: i32,
    },
    /// Something went wrong; stock's texts.
    Error(String),
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status { name, pid } => write!(f, "status {name} {pid}"),
            Self::Error(text) => write!(f, "error {text}"),
        }
    }
}

impl Report {
    /// A node that nobody asked to stop has returned.
    pub(super) fn exited(name: &str, pid: i32, status: i32) -> Self {
        Self::Error(format!(
            "Supervised node '{name}' (PID {pid}) exited prematurely with status {status}"
        ))
    }

    /// A node that nobody asked to stop was killed.
    pub(super) fn signaled(name: &str, pid: i32, signal: i32) -> Self {
        Self::Error(format!(
            "Supervised node '{name}' (PID {pid}) terminated prematurely by signal {signal}"
        ))
    }

    /// Its successor runs.
    pub(super) fn revived(name: &str, pid: i32) -> Self {
        Self::Error(format!(
            "Supervised node '{name}' (PID {pid}) revived after premature exit"
        ))
    }

    /// How a node ended cannot be found out.
    pub(super) fn wait_failed(name: &str, pid: i32, reason: &str) -> Self {
        Self::Error(format!(
            "Stem failed to get node exit status '{name}' (PID {pid}): {reason}"
        ))
    }

    /// A signal did not reach its node.
    pub(super) fn kill_failed(name: &str, pid: i32, reason: &str) -> Self {
        Self::Error(format!(
            "Failed to send signal to node '{name}' (PID {pid}): {reason}"
        ))
    }

    /// A node could not be spawned.
    pub(super) fn fork_failed(name: &str, reason: &str) -> Self {
        Self::Error(format!("failed to fork Zeek node '{name}': {reason}"))
    }

    /// A message that is no command.
    pub(super) fn unknown_message(text: &str) -> Self {
        Self::Error(format!("Stem got unknown supervisor message: {text}"))
    }

    /// The supervisor broke a rule that stock does not check (API §10.2).
    pub(super) fn broken_rule(text: &str) -> Self {
        Self::Error(format!("zeek-standin: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(messages: Vec<Vec<u8>>) -> Vec<String> {
        let texts = messages.into_iter().map(String::from_utf8);
        texts.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn messages_are_put_together_from_any_cut() {
        let stream = b"restart a\0destroy b\0restart c";
        for cut in 0..stream.len() {
            let mut decoder = MessageDecoder::default();
            let mut got = decoder.push(&stream[..cut]).unwrap();
            got.extend(decoder.push(&stream[cut..]).unwrap());
            assert_eq!(texts(got), ["restart a", "destroy b"]);
            assert_eq!(texts(decoder.push(b"\0").unwrap()), ["restart c"]);
        }
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let mut decoder = MessageDecoder::default();
        let chunk = vec![b'x'; MAX_MESSAGE];
        assert_eq!(decoder.push(&chunk), Ok(vec![]));
        assert!(decoder.push(b"x").is_err());
    }

    #[test]
    fn the_json_of_a_create_keeps_its_blanks() {
        let want = Command::Create {
            name: "w".into(),
            json: r#"{"a": "b c"}"#.into(),
        };
        assert_eq!(
            Command::parse(br#"create w {"a": "b c"}"#),
            Ok(want.clone())
        );
        assert_eq!(
            Command::parse(b"destroy w"),
            Ok(Command::Destroy { name: "w".into() })
        );
        assert_eq!(
            Command::parse(b"restart w"),
            Ok(Command::Restart { name: "w".into() })
        );
    }

    #[test]
    fn what_is_no_command_is_named_as_stock_names_it() {
        assert_eq!(Command::parse(b"stop w now"), Err("stop".into()));
        assert_eq!(Command::parse(b"restart"), Err("restart".into()));
        assert_eq!(Command::parse(b"create w"), Err("create w".into()));
    }

    #[test]
    fn lines_lose_their_newlines_and_empty_ones_are_dropped() {
        let mut cutter = LineCutter::default();
        assert_eq!(texts(cutter.push(b"one\n\ntw")), ["one"]);
        assert_eq!(texts(cutter.push(b"o\n")), ["two"]);
        assert_eq!(cutter.finish(), None);
        assert!(cutter.push(b"rest").is_empty());
        assert_eq!(cutter.finish(), Some(b"rest".to_vec()));
        let mut out = b"[w] two\n".to_vec();
        output_line(&mut out, "w", b"rest");
        assert_eq!(out, b"[w] two\n[w] rest\n");
    }

    #[test]
    fn an_endless_line_does_not_pile_up() {
        let mut cutter = LineCutter::default();
        let parts = cutter.push(&vec![b'x'; MAX_LINE + 1]);
        assert_eq!(parts.len(), 1);
        assert_eq!(cutter.finish(), None);
    }

    #[test]
    fn reports_read_as_recorded() {
        let status = Report::Status {
            name: "worker-01".into(),
            pid: 153,
        };
        assert_eq!(status.to_string(), "status worker-01 153");
        assert_eq!(
            Report::revived("worker-01", 153).to_string(),
            "error Supervised node 'worker-01' (PID 153) revived after premature exit"
        );
        assert_eq!(
            Report::signaled("a", 7, 9).to_string(),
            "error Supervised node 'a' (PID 7) terminated prematurely by signal 9"
        );
        assert_eq!(
            Report::exited("a", 7, 1).to_string(),
            "error Supervised node 'a' (PID 7) exited prematurely with status 1"
        );
    }
}
