//! The file in which an agent with a memory keeps what it runs (API §15.2 D43).
//!
//! It matters only as long as the nodes live, and these do not outlive the machine: so it is
//! replaced in one piece, by renaming, and not synced. A thread writes it, for a disk may take its
//! time; of several states that wait, the last one counts. A file that cannot be read as one of ours
//! is set aside, and the agent starts as one without a former life.

use std::fs;
use std::future;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use broker_proto::zeek::{FromData, ToData};
use broker_proto::{ByteString, Data};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use zeek_client_compat::json;

use super::replace::{Readers, remove, replace};
use super::store::set_aside;
use crate::model::Configuration;

/// In the agent's directory.
const FILE_NAME: &str = "agent-configuration.json";

/// What it starts with; another layout would start otherwise.
const FORMAT: &str = "zeek-mgmt agent 1";

/// The longest file that is read, in bytes; a configuration of 10 000 nodes takes a few million.
const MAX_FILE: u64 = 64 << 20;

/// What an agent keeps over its own restart.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    instance: String,
    writing: Option<JoinHandle<io::Result<()>>>,
    waiting: Option<Option<Configuration>>,
}

impl Kept {
    /// Of an agent of this name in this directory.
    pub(super) fn new(dir: &Path, instance: &str) -> Self {
        Self {
            path: dir.join(FILE_NAME),
            instance: instance.to_owned(),
            writing: None,
            waiting: None,
        }
    }

    /// What a former agent left.
    pub(super) fn read(&self) -> Option<Configuration> {
        let path = self.path.display();
        let text = match read(&self.path) {
            Ok(text) => text?,
            Err(error) => {
                warn!(%path, %error, "what a former agent kept cannot be read");
                return None;
            }
        };
        match parse(&text, &self.instance) {
            Ok(config) => {
                info!(config.id, "a former agent's configuration was kept");
                Some(config)
            }
            Err(reason) => {
                let new = set_aside(&self.path, "damaged");
                let new = new.map(|new| new.display().to_string());
                error!(%path, reason, set_aside_as = ?new, "what a former agent kept is not usable");
                None
            }
        }
    }

    /// Removes what an agent with a memory left: one without would soon make it wrong.
    pub(super) fn forget(&self) {
        if let Err(error) = remove(&self.path) {
            warn!(path = %self.path.display(), %error, "what a former agent kept stays");
        }
    }

    /// Has this written in the place of what was.
    pub(super) fn write(&mut self, config: Option<Configuration>) {
        self.waiting = Some(config);
        self.start();
    }

    /// Sees to the writing; never ends. Cancel safe.
    pub(super) async fn run(&mut self) {
        loop {
            self.step().await;
        }
    }

    /// Waits until all is written.
    pub(super) async fn finish(mut self) {
        while self.writing.is_some() {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let Some(task) = &mut self.writing else {
            return future::pending().await;
        };
        let result = task.await;
        self.writing = None;
        let result = result.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = result {
            warn!(path = %self.path.display(), %error, "cannot keep what runs; a restarted agent will not know it");
        }
        self.start();
    }

    fn start(&mut self) {
        if self.writing.is_some() {
            return;
        }
        let Some(config) = self.waiting.take() else {
            return;
        };
        let path = self.path.clone();
        let text = config.map(|config| text(config, &self.instance));
        let write = move || match text {
            // A node's environment may hold secrets.
            Some(text) => replace(&path, &text, Readers::Owner),
            None => remove(&path),
        };
        self.writing = Some(tokio::task::spawn_blocking(write));
    }
}

/// Broker's JSON (CLIENT §A5), so that it can be read by people.
fn text(config: Configuration, instance: &str) -> String {
    let parts = vec![
        Data::string(FORMAT),
        Data::string(instance),
        config.into_data(),
    ];
    json::encode(&Data::Vector(parts))
}

fn parse(text: &str, instance: &str) -> Result<Configuration, String> {
    let value = json::parse(text).map_err(|error| error.to_string())?;
    let data = json::decode(&value).map_err(|error| error.to_string())?;
    let Data::Vector(parts) = data else {
        return Err("it is no list".to_owned());
    };
    let [format, owner, config] =
        <[Data; 3]>::try_from(parts).map_err(|parts| format!("it has {} parts", parts.len()))?;
    if format != Data::string(FORMAT) {
        return Err("it is of another format".to_owned());
    }
    if owner != Data::String(ByteString::from(instance)) {
        return Err(format!("it is not of instance {instance}"));
    }
    Configuration::from_data(config).map_err(|error| error.to_string())
}

fn read(path: &Path) -> io::Result<Option<String>> {
    // What is no file, such as a pipe that nobody writes to, shall not hold up the start.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    // What is no text is no JSON either, and is set aside as such.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests;
