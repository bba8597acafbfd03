//! `zeek-standin`: takes the place of `zeek` where none is installed.
//!
//! It speaks what Zeek speaks towards a supervisor and an agent, and nothing else: the stem
//! protocol on pipes (API §9, §10) and, in the nodes it starts, the node API over Broker (API §6).
//! It reads no script and no packet, and says so in the first line of every node's output.
//! Its stem is written from the specification alone and shares no supervising code with the project,
//! so that it can be a check on it. Its nodes ask the project's library what they are, as programs
//! of other people would ([`supervisor::standing`]).
//!
//! | started | it is |
//! | --- | --- |
//! | as a supervised node, by its own stem | a node, [`node`] |
//! | with `ZEEK_STEM` set, which stays in a node's environment, as with Zeek (API §10.4) | a stem, [`stem`] |
//! | otherwise | only willing to describe itself |
//!
//! How it can be made to misbehave: [`node::behaviour`].

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program: it reads clocks, runs tasks and prints"
)]

mod config;
mod node;
mod stem;

use std::io::Write;
use std::process::ExitCode;

const HELP: &str = "\
zeek-standin: takes the place of zeek where none is installed.

It is NOT Zeek. It reads no scripts and analyses no packets. It speaks the stem protocol
towards a supervisor and the node API towards a management agent, for tests and
demonstrations. zeek-mgmt uses it only when its path is given as that of zeek.

It does something only with ZEEK_STEM set, as a supervisor sets it. Its nodes understand, among
the arguments and in the environment (the nodes' own env included), what Zeek's do:
  Broker::disable_ssl=T                cleartext instead of anonymous TLS
  Management::Agent::listen_address=A  the agent's address, else ZEEK_AGENT_ADDR
  Management::Agent::listen_port=P     and port, as in 2151/tcp, else ZEEK_AGENT_PORT
  ZEEK_DEFAULT_LISTEN_ADDRESS          where a node with a port listens, else 127.0.0.1

To make nodes misbehave, set in the environment, each to NUMBER for all nodes or to
NODE:NUMBER,... for some:
  ZEEK_STANDIN_START_DELAY    milliseconds until a node begins to speak to anybody
  ZEEK_STANDIN_NO_HELLO       1: never say hello to the agent
  ZEEK_STANDIN_FAIL           print error lines and exit with this code
  ZEEK_STANDIN_FAIL_AFTER     do so after this many milliseconds, not at once
  ZEEK_STANDIN_SIGNAL         die of this signal; may be combined with ZEEK_STANDIN_FAIL_AFTER
  ZEEK_STANDIN_IGNORE_SIGTERM 1: take no notice of SIGTERM
  ZEEK_STANDIN_STOP_DELAY     milliseconds from SIGTERM to the end
  ZEEK_STANDIN_FLOOD          print so many numbered lines of 100 bytes on each stream at once
  ZEEK_STANDIN_FLOOD_RATE     so many megabytes a second on each stream, with FLOOD_FOR
  ZEEK_STANDIN_FLOOD_FOR      milliseconds of that
  ZEEK_STANDIN_LONG_LINE      print a line of so many bytes that never ends
  ZEEK_STANDIN_BAD_TEXT       1: print a line that is no UTF-8
  ZEEK_STANDIN_OPEN_SOURCE    1: end as Zeek does if the interface or trace is not there
  ZEEK_STANDIN_CHILD          start a process of its own that runs for so many seconds
  ZEEK_STANDIN_FAIL_TEXT      the error lines, divided by '|' (the same for all nodes)
  ZEEK_STANDIN_DIARY          a file in which nodes write that they are told to stop, and that they
                              end (the same for all nodes)

Options: --help, --version
";

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1);
    let args: Vec<String> = args.map(|a| a.to_string_lossy().into_owned()).collect();
    match supervisor::io::standing() {
        Ok(standing) => {
            if let Ok(config) = standing.node() {
                return node::run(config.clone(), &args);
            }
        }
        Err(error) => {
            complain(&format!("zeek-standin: {error}"));
            return ExitCode::FAILURE;
        }
    }
    if let Some(variable) = std::env::var_os("ZEEK_STEM") {
        return block_on(stem::run(&variable.to_string_lossy(), args));
    }
    match args.first().map(String::as_str) {
        Some("--version" | "-v") => {
            println!("zeek-standin {}, not Zeek", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some("--help" | "-h") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Some(_) | None => {
            complain(
                "zeek-standin is a stand-in for Zeek without packet analysis; it does something \
                 only as a supervisor's stem, and zeek-mgmt uses it only when its path is given. \
                 See --help",
            );
            ExitCode::FAILURE
        }
    }
}

fn block_on(program: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => {
            complain(&format!("zeek-standin: {}", describe(&error)));
            ExitCode::FAILURE
        }
    }
}

/// A line on standard error. That nobody reads it any more is no reason to panic.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The system's text for an error, as `strerror` words it.
fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    let code = error.raw_os_error();
    let suffix = code.map(|code| format!(" (os error {code})"));
    let bare = suffix.and_then(|suffix| text.strip_suffix(&suffix).map(str::to_owned));
    bare.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_read_as_strerror_words_them() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(describe(&error), "No such file or directory");
        assert_eq!(describe(&std::io::Error::other("odd")), "odd");
    }
}
