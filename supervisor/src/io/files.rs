//! The files that keep what nodes print (API §9.5 S15).
//!
//! `stdout` and `stderr` are of a node's current life, as with stock. Those of former lives, which
//! stock truncates (API §12.3 D63), are put aside as `stdout.1` and so on, the youngest first.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::host::Stream;
use crate::settings::Outputs;

/// Files of former lives that are kept, for each stream.
const KEPT: u32 = 5;

/// What is gathered before it is written, in bytes; a single line may be more.
const GATHERED: usize = 64 * 1024;

/// The open output files, by node.
#[derive(Debug, Default)]
pub(super) struct Files {
    outputs: Outputs,
    open: BTreeMap<String, Pair>,
    /// Those that have something gathered.
    dirty: BTreeSet<String>,
}

#[derive(Debug)]
struct Pair {
    stdout: Option<Sink>,
    stderr: Option<Sink>,
}

/// One file, and what goes there at the next occasion.
#[derive(Debug)]
struct Sink {
    path: PathBuf,
    /// Unset after an error.
    file: Option<File>,
    gathered: Vec<u8>,
    lines: u64,
    /// Lines that could not be written.
    lost: u64,
}

impl Files {
    pub(super) fn new(outputs: Outputs) -> Self {
        Self {
            outputs,
            ..Self::default()
        }
    }

    /// Starts empty files in `directory`, which exists since the node was created.
    pub(super) fn open(&mut self, node: String, directory: Option<&str>) {
        self.close(&node);
        let Some(directory) = directory else {
            return;
        };
        match Pair::create(Path::new(directory), &self.outputs) {
            Ok(pair) => {
                self.open.insert(node, pair);
            }
            Err(error) => warn!(node, directory, %error, "output files cannot be written"),
        }
    }

    /// Appends one line, at the next [`Files::flush`] at the latest.
    pub(super) fn write(&mut self, node: &str, stream: Stream, line: &[u8]) {
        self.print(node, stream, line);
        let pair = self.open.get_mut(node);
        let Some(sink) = pair.and_then(|pair| pair.sink(stream)) else {
            return;
        };
        sink.gathered.extend_from_slice(line);
        sink.gathered.push(b'\n');
        sink.lines += 1;
        if sink.gathered.len() >= GATHERED {
            sink.flush(node);
        } else if !self.dirty.contains(node) {
            self.dirty.insert(node.to_owned());
        }
    }

    /// As stock's Supervisor prints it. Whether anybody reads it is not its business.
    fn print(&self, node: &str, stream: Stream, line: &[u8]) {
        let line = || [b"[", node.as_bytes(), b"] ", line, b"\n"].concat();
        let _ = match stream {
            Stream::Stdout if self.outputs.print_stdout => io::stdout().write_all(&line()),
            Stream::Stderr if self.outputs.print_stderr => io::stderr().write_all(&line()),
            Stream::Stdout | Stream::Stderr => Ok(()),
        };
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) {
        while let Some(node) = self.dirty.pop_first() {
            if let Some(pair) = self.open.get_mut(&node) {
                for sink in [&mut pair.stdout, &mut pair.stderr].into_iter().flatten() {
                    sink.flush(&node);
                }
            }
        }
    }

    pub(super) fn close(&mut self, node: &str) {
        let Some(pair) = self.open.remove(node) else {
            return;
        };
        for mut sink in [pair.stdout, pair.stderr].into_iter().flatten() {
            sink.flush(node);
            if sink.lost > 0 {
                let (path, lines) = (sink.path.display(), sink.lost);
                warn!(node, %path, lines, "output was lost");
            }
        }
    }
}

impl Pair {
    fn create(directory: &Path, outputs: &Outputs) -> io::Result<Self> {
        let create = |name: &Option<String>| {
            let path = name.as_ref().map(|name| directory.join(name));
            path.map(Sink::create).transpose()
        };
        Ok(Self {
            stdout: create(&outputs.stdout_file)?,
            stderr: create(&outputs.stderr_file)?,
        })
    }

    fn sink(&mut self, stream: Stream) -> Option<&mut Sink> {
        match stream {
            Stream::Stdout => self.stdout.as_mut(),
            Stream::Stderr => self.stderr.as_mut(),
        }
    }
}

impl Sink {
    fn create(path: PathBuf) -> io::Result<Self> {
        if let Err(error) = put_aside(&path) {
            let path = path.display();
            warn!(%path, %error, "output of a former life stays where it is");
        }
        let file = File::options().create(true).append(true).open(&path)?;
        Ok(Self {
            path,
            file: Some(file),
            gathered: Vec::new(),
            lines: 0,
            lost: 0,
        })
    }

    fn flush(&mut self, node: &str) {
        // The memory goes too: most nodes are silent most of the time.
        let gathered = std::mem::take(&mut self.gathered);
        let lines = std::mem::take(&mut self.lines);
        let Some(file) = self.file.as_mut().filter(|_| self.lost == 0) else {
            self.lost += lines;
            return;
        };
        if let Err(error) = file.write_all(&gathered) {
            let path = self.path.display();
            warn!(node, %path, %error, "output file is given up until the next start");
            self.lost += lines;
            self.file = None;
        }
    }
}

/// Makes room for the output of the next life.
fn put_aside(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.len() > 0 => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    for age in (1..KEPT).rev() {
        match fs::rename(aside(path, age), aside(path, age + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, aside(path, 1))
}

fn aside(path: &Path, age: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}
