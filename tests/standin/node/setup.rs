//! What a supervised node does before it is one (API §11 L1, in that order).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::thread::{CpuSet, sched_setaffinity};
use supervisor::api::NodeConfig;

use crate::{complain, describe};

/// Linux cuts process names to this many bytes.
const PROCESS_NAME: usize = 15;

/// Goes to the node's directory, redirects its output, pins it to a processor, and names the
/// process. The environment is already as it should be.
///
/// # Errors
/// With the text Zeek prints before it exits with status 1.
pub(super) fn prepare(config: &NodeConfig) -> Result<(), String> {
    let name = &config.name;
    if let Some(directory) = &config.directory {
        std::env::set_current_dir(directory).map_err(|error| {
            let error = describe(&error);
            format!("node '{name}' failed to chdir to {directory}: {error}")
        })?;
    }
    if let Some(path) = &config.stderr_file {
        let redirected = create(path).and_then(|file| Ok(rustix::stdio::dup2_stderr(file)?));
        redirected.map_err(|error| {
            let error = describe(&error);
            format!("node '{name}' failed to create stderr file {path}: {error}")
        })?;
    }
    if let Some(path) = &config.stdout_file {
        let redirected = create(path).and_then(|file| Ok(rustix::stdio::dup2_stdout(file)?));
        redirected.map_err(|error| {
            let error = describe(&error);
            format!("node '{name}' failed to create stdout file {path}: {error}")
        })?;
    }
    if let Some(cpu) = config.cpu_affinity
        && let Err(error) = pin(cpu)
    {
        let error = describe(&error);
        complain(&format!(
            "node '{name}' failed to set CPU affinity: {error}"
        ));
    }
    name_process(name);
    Ok(())
}

/// Looks whether the node's source of packets is there, which is all that is done with it here.
///
/// # Errors
/// With the text Zeek prints before it exits with status 1.
pub(super) fn open_source(config: &NodeConfig) -> Result<(), String> {
    if let Some(interface) = &config.interface {
        let device = Path::new("/sys/class/net").join(interface);
        std::fs::metadata(device).map_err(|_| {
            format!("fatal error: problem with interface {interface} (No such device exists)")
        })?;
    }
    if let Some(trace) = &config.pcap_file {
        File::open(trace).map_err(|error| {
            let error = describe(&error);
            format!("fatal error: problem with trace file {trace} ({trace}: {error})")
        })?;
    }
    Ok(())
}

fn create(path: &str) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}

fn pin(cpu: i64) -> std::io::Result<()> {
    let cpu = usize::try_from(cpu).unwrap_or(usize::MAX);
    if cpu >= CpuSet::MAX_CPU {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Supervised processes are told apart by their names (API §9.3 S2).
fn name_process(node: &str) {
    let mut name = format!("zeek.{node}").into_bytes();
    name.truncate(PROCESS_NAME);
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}
