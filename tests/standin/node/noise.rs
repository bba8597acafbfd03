//! What a node prints beside its own words, to test those who read it.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a numbered line, its newline included.
const LINE: usize = 100;

/// What fills a line; as a format's padding they would be made one by one, which limits floods.
const DOTS: &str = match std::str::from_utf8(&[b'.'; LINE - 17]) {
    Ok(dots) => dots,
    Err(_) => "",
};

/// Between two portions of a steady flood.
const PORTION: Duration = Duration::from_millis(10);

/// The noise of one node; by default none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Noise {
    /// Numbered lines on each stream, as fast as they are taken.
    pub(super) lines: u64,
    /// Megabytes of numbered lines a second on each stream, for `time`.
    pub(super) rate: u64,
    /// How long `rate` lasts.
    pub(super) time: Duration,
    /// Bytes of a line that never ends.
    pub(super) endless: u64,
    /// A line that is no UTF-8.
    pub(super) is_bad: bool,
}

impl Noise {
    /// Begins to print. Floods go on beside the node's work.
    pub(super) fn begin(self) {
        if self.is_bad {
            let _ = io::stdout().write_all(b"bad \xff\xfe text\n");
        }
        if self.lines > 0 || self.rate > 0 || self.endless > 0 {
            thread::spawn(move || self.make(io::stdout()));
            thread::spawn(move || self.make(io::stderr()));
        }
    }

    fn make(self, mut to: impl Write) {
        // Nobody reads it any more: no reason to go on.
        let _ = self.numbered(&mut to);
        let _ = self.flood(&mut to);
        let _ = self.drone(&mut to);
    }

    fn numbered(self, to: &mut impl Write) -> io::Result<()> {
        for number in 0..self.lines {
            to.write_all(line(number).as_bytes())?;
        }
        to.flush()
    }

    fn flood(self, to: &mut impl Write) -> io::Result<()> {
        if self.rate == 0 {
            return Ok(());
        }
        let (begin, mut number) = (Instant::now(), self.lines);
        let per_portion = self.rate * 10_000 / LINE as u64;
        let mut due = begin;
        while begin.elapsed() < self.time {
            let portion = number..number + per_portion;
            number = portion.end;
            let text: String = portion.map(line).collect();
            to.write_all(text.as_bytes())?;
            due += PORTION;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        to.write_all(b"the flood is over\n")?;
        to.flush()
    }

    fn drone(self, to: &mut impl Write) -> io::Result<()> {
        let mut left = self.endless;
        while left > 0 {
            let part = left.min(4096);
            to.write_all(&vec![b'x'; usize::try_from(part).unwrap_or(0)])?;
            left -= part;
        }
        to.flush()
    }
}

/// `line 0000000042 ....`, always of the same length.
fn line(number: u64) -> String {
    format!("line {number:010} {DOTS}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_line_has_its_length() {
        for number in [0, 9_999_999_999] {
            assert_eq!(line(number).len(), LINE);
        }
        assert!(line(42).starts_with("line 0000000042 ."));
    }
}
