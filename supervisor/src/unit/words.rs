//! What a unit's process prints, and where it goes.

use std::collections::VecDeque;

use bytes::Bytes;
use tracing::{debug, warn};

use super::{Unit, push};
use crate::host::{Control, HostOutput, Stream};
use crate::output::{self, Printed};
use crate::supervisor::Output;

/// Bytes held for one status; a status is never far behind.
const MAX_EARLY: usize = 1024 * 1024;

/// Lines that a stem's first node printed before its status was read.
#[derive(Debug)]
pub(super) enum Early {
    /// There was no status yet.
    Held(Held),
    /// There was one.
    Passed,
}

#[derive(Debug, Default)]
pub(super) struct Held {
    lines: Vec<(Stream, Bytes)>,
    bytes: usize,
    dropped: u64,
}

impl Held {
    fn push(&mut self, stream: Stream, line: Bytes) {
        self.bytes = self.bytes.saturating_add(line.len());
        if self.bytes > MAX_EARLY {
            self.dropped += 1;
            return;
        }
        self.lines.push((stream, line));
    }
}

impl Unit {
    /// Bytes the process printed.
    pub(crate) fn on_printed(&mut self, stream: Stream, chunk: &[u8], out: &mut VecDeque<Output>) {
        for line in self.printed(stream).lines.push(chunk) {
            self.on_line(stream, line, out);
        }
    }

    /// No more comes on either stream; what has no newline is a line too.
    pub(super) fn finish_lines(&mut self, out: &mut VecDeque<Output>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(line) = self.printed(stream).lines.finish() {
                self.on_line(stream, line, out);
            }
        }
    }

    /// Status and output come on different pipes. What a fresh stem's node prints is of its first
    /// life, even if it is read before the status that announces it (API §12.3 D62).
    pub(super) fn keep_early(&mut self, out: &mut VecDeque<Output>) {
        let Early::Held(held) = std::mem::replace(&mut self.early, Early::Passed) else {
            return;
        };
        for (stream, line) in held.lines {
            self.keep(stream, line, out);
        }
        if held.dropped > 0 {
            let lines = held.dropped;
            warn!(
                node = self.name(),
                lines, "lines lost before the status came"
            );
        }
    }

    fn on_line(&mut self, stream: Stream, line: Bytes, out: &mut VecDeque<Output>) {
        let line = match self.launch.control {
            Control::Absent => line,
            Control::Stem => match output::of_node(&self.config.name, &line) {
                Some(text) => line.slice_ref(text),
                None => return self.on_stem_line(line),
            },
        };
        // Made only if somebody wants it: a node may print a million lines a second.
        debug!(
            node = self.name(),
            stream = stream.file_name(),
            line = %String::from_utf8_lossy(&line)
        );
        match &mut self.early {
            Early::Held(held) => held.push(stream, line),
            Early::Passed => self.keep(stream, line, out),
        }
    }

    fn on_stem_line(&mut self, line: Bytes) {
        let text = String::from_utf8_lossy(&line);
        warn!(node = self.name(), line = %text, "stem prints");
        if matches!(self.early, Early::Held(_)) {
            self.stem_words.push(line);
        }
    }

    /// Remembers a line of the current life.
    fn keep(&mut self, stream: Stream, line: Bytes, out: &mut VecDeque<Output>) {
        self.printed(stream).tail.push(line.clone());
        let node = self.config.name.clone();
        push(out, HostOutput::WriteLine { node, stream, line });
    }

    fn printed(&mut self, stream: Stream) -> &mut Printed {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}
