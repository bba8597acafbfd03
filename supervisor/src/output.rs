//! What nodes print: lines, whose they are, and the last of them (API §9.5 S12, S15).

use std::collections::VecDeque;

use broker_proto::ByteString;
use bytes::Bytes;

/// Longer lines lose their end.
const MAX_LINE: usize = 32 * 1024;

/// Lines kept per stream and life, as stock.
const KEPT_LINES: usize = 100;

/// One stream of one unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Printed {
    /// Cuts the stream of the process into lines.
    pub(crate) lines: Lines,
    /// What the node wrote last.
    pub(crate) tail: Tail,
}

/// Cuts a stream at newlines and drops empty lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes cut anywhere; returns the lines they complete, without newlines.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<Bytes> {
        let mut done = Vec::new();
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if ended && self.partial.is_empty() {
                // Nearly all of them: in one piece of memory that is just large enough.
                let line = cut(text, MAX_LINE);
                done.extend((!line.is_empty()).then(|| Bytes::copy_from_slice(line)));
                continue;
            }
            let room = MAX_LINE.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(cut(text, room));
            if ended {
                done.extend(self.finish());
            }
        }
        done
    }

    /// The stream is over, or a new one begins; returns what had no newline.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        let line = std::mem::take(&mut self.partial);
        (!line.is_empty()).then(|| line.into())
    }
}

fn cut(text: &[u8], room: usize) -> &[u8] {
    text.get(..room).unwrap_or(text)
}

/// The last lines of one stream in one life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<Bytes>,
    /// They were taken; the next line begins anew.
    taken: bool,
}

impl Tail {
    pub(crate) fn push(&mut self, line: Bytes) {
        if std::mem::take(&mut self.taken) {
            self.lines.clear();
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken || self.lines.is_empty()
    }

    /// The lines joined by newlines: what was taken last, if nothing came since.
    pub(crate) fn text(&mut self) -> ByteString {
        self.lines.make_contiguous().join(&b'\n').into()
    }

    /// The lines that came since they were taken last, joined by newlines.
    pub(crate) fn take(&mut self) -> ByteString {
        if std::mem::replace(&mut self.taken, true) {
            return ByteString::default();
        }
        self.text()
    }
}

/// What the node wrote, if the line is its own: stems print `[<node>] <line>` for it. Other lines
/// are the stem's own words.
pub(crate) fn of_node<'a>(node: &str, line: &'a [u8]) -> Option<&'a [u8]> {
    line.strip_prefix(b"[")?
        .strip_prefix(node.as_bytes())?
        .strip_prefix(b"] ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_be_cut_anywhere() {
        for size in 1..12 {
            let mut lines = Lines::default();
            let text = b"one\n\ntwo three\nrest";
            let got: Vec<Bytes> = text.chunks(size).flat_map(|c| lines.push(c)).collect();
            assert_eq!(got, ["one", "two three"]);
            assert_eq!(lines.finish(), Some(Bytes::from("rest")));
            assert_eq!(lines.finish(), None);
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.push(&[b'x'; 1000]).is_empty());
        }
        assert_eq!(
            lines.push(b"\nnext\n"),
            [Bytes::from(vec![b'x'; MAX_LINE]), Bytes::from("next")]
        );
    }

    #[test]
    fn only_the_last_hundred_lines_are_kept() {
        let mut tail = Tail::default();
        for i in 0..150 {
            tail.push(i.to_string().into());
        }
        let text = tail.take();
        let lines = text.to_str().unwrap();
        assert!(lines.starts_with("50\n51\n"));
        assert!(lines.ends_with("\n149"));
        assert!(tail.is_empty());
        assert!(tail.take().is_empty());
        assert_eq!(tail.text(), text, "until something new comes");
        tail.push("new".into());
        assert_eq!(tail.take(), "new".into());
    }

    #[test]
    fn a_bracketed_name_marks_the_node_even_if_it_holds_brackets() {
        assert_eq!(of_node("w-1", b"[w-1] hello"), Some(&b"hello"[..]));
        assert_eq!(of_node("w]1", b"[w]1] [x] y"), Some(&b"[x] y"[..]));
        assert_eq!(of_node("w-1", b"fatal error: no such script"), None);
        assert_eq!(of_node("w-1", b"[w-2] hello"), None);
    }
}
