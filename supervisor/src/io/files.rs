//! The files that keep what nodes print (API §9.5 S15).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tracing::warn;

use crate::host::Stream;

/// The open output files, by node.
#[derive(Debug, Default)]
pub(super) struct Files {
    open: BTreeMap<String, Pair>,
}

#[derive(Debug)]
struct Pair {
    stdout: File,
    stderr: File,
}

impl Files {
    /// Starts empty files in `directory`, which exists since the node was created.
    pub(super) fn open(&mut self, node: String, directory: Option<&str>) {
        self.open.remove(&node);
        let Some(directory) = directory else {
            return;
        };
        match Pair::create(Path::new(directory)) {
            Ok(pair) => {
                self.open.insert(node, pair);
            }
            Err(error) => warn!(node, directory, %error, "output files cannot be written"),
        }
    }

    /// Appends one line, straight to the system: nothing is left in a buffer.
    pub(super) fn write(&mut self, node: &str, stream: Stream, line: &[u8]) {
        let Some(pair) = self.open.get_mut(node) else {
            return;
        };
        let file = match stream {
            Stream::Stdout => &mut pair.stdout,
            Stream::Stderr => &mut pair.stderr,
        };
        if let Err(error) = file.write_all(&[line, b"\n"].concat()) {
            let file = stream.file_name();
            warn!(node, file, %error, "output files are given up until the next start");
            self.open.remove(node);
        }
    }

    pub(super) fn close(&mut self, node: &str) {
        self.open.remove(node);
    }
}

impl Pair {
    fn create(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            stdout: File::create(directory.join(Stream::Stdout.file_name()))?,
            stderr: File::create(directory.join(Stream::Stderr.file_name()))?,
        })
    }
}
