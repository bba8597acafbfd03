//! Looks into Broker: peers with an endpoint and prints what comes, publishes, decodes bytes.
#![allow(clippy::print_stderr, reason = "a program may say why it ends")]

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use broker_proto::peering::PeerAddr;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tls::TlsArgs;

mod args;
mod decode;
mod json;
mod live;
mod record;
#[cfg(test)]
mod tests;
mod text;
mod tls;

/// Looks into Zeek's Broker: peers with an endpoint and prints what comes, publishes events, and
/// turns bytes into JSON and back.
///
/// JSON is the notation of WIRE.md, section 12: every value is an object with its `type`.
#[derive(Debug, Parser)]
#[command(name = "broker-cat", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Dials an endpoint and prints what it publishes, until interrupted.
    ///
    /// A lost peering is dialed again. What happens to the peering is told on standard error.
    Peer {
        /// The endpoint, such as localhost:9999. IPv6 addresses stand in brackets.
        #[arg(value_name = "HOST:PORT")]
        addr: PeerAddr,
        #[command(flatten)]
        tls: TlsArgs,
        /// Seconds between two attempts to dial.
        #[arg(long, value_name = "SECONDS", default_value_t = 1)]
        retry: u32,
        #[command(flatten)]
        print: PrintArgs,
    },
    /// Listens for endpoints and prints what they publish, until interrupted.
    ///
    /// Takes cleartext and TLS on the same port; with certificates, only peers that show one of
    /// their own. Where it listens is told on standard error.
    Listen {
        /// Where, such as 127.0.0.1:9999; :9999 is every interface, port 0 lets the system choose.
        #[arg(value_name = "ADDR")]
        addr: PeerAddr,
        #[command(flatten)]
        tls: TlsArgs,
        #[command(flatten)]
        print: PrintArgs,
    },
    /// Publishes one event to an endpoint and leaves in good order.
    ///
    /// Fails if the endpoint cannot be reached. Whether it subscribes to the topic is not told.
    Publish {
        /// The endpoint, such as localhost:9999. IPv6 addresses stand in brackets.
        #[arg(value_name = "HOST:PORT")]
        addr: PeerAddr,
        /// The topic.
        topic: String,
        /// The event's full name, such as Example::ping.
        event: String,
        /// The event's arguments: TYPE:VALUE, such as count:7, string:hi, address:::1 or
        /// port:80/tcp; none; or any value in JSON.
        ///
        /// Types are boolean (true, false), count, integer, real, string, enum, address, subnet,
        /// port, and timestamp and timespan in nanoseconds.
        #[arg(value_name = "ARG", allow_hyphen_values = true)]
        args: Vec<String>,
        #[command(flatten)]
        tls: TlsArgs,
    },
    /// Turns bytes on standard input into lines of JSON on standard output, or back.
    ///
    /// Input is a line of hexadecimal digits for each item, or, for frames, the bytes of one
    /// direction of a connection. Ends with an error if an item is not what it should be, after
    /// all others are done; that item's line says {"invalid": true, "reason": ...}.
    Decode {
        /// What the bytes are.
        #[arg(long, value_enum, default_value_t = Kind::Data)]
        kind: Kind,
        /// Write hexadecimal digits again. Lines of JSON are taken too, whatever the kind.
        #[arg(long)]
        reencode: bool,
    },
}

#[derive(Debug, Args)]
struct PrintArgs {
    /// Print only what is published on this topic and below; may be given again. Without it,
    /// everything is, and as long as that lasts the endpoint creates no new Broker stores: it takes
    /// whoever wants everything for their master.
    #[arg(long = "topic", value_name = "T")]
    topics: Vec<String>,
    /// Print each message as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Also write each message into this file, as a list of vectors (WIRE.md, section 12). Bytes
    /// are those of the message as this endpoint would send it on.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// One value with its tag.
    Data,
    /// One message of the handshake, without length prefix.
    Handshake,
    /// One message of an established peering, without length prefix.
    Envelope,
    /// A stream of frames with their length prefixes: the handshake if it is there, then messages.
    Frames,
}

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("broker-cat: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<(), Box<dyn Error>> {
    let work = match command {
        Command::Decode { kind, reencode } => {
            let form = if reencode {
                decode::Form::Hex
            } else {
                decode::Form::Json
            };
            let mut out = io::BufWriter::new(io::stdout().lock());
            let result = decode::run(kind, form, &mut io::stdin().lock(), &mut out);
            out.flush()?;
            return Ok(result?);
        }
        Command::Peer {
            addr,
            tls,
            retry,
            print,
        } => live::Work::Peer {
            addr,
            retry,
            tls: tls.into(),
            print,
        },
        Command::Listen { addr, tls, print } => live::Work::Listen {
            addr,
            tls: tls.into(),
            print,
        },
        Command::Publish {
            addr,
            topic,
            event,
            args,
            tls,
        } => {
            let args = args.iter().map(|arg| args::value(arg));
            let event = broker_proto::zeek::Event::new(event, args.collect::<Result<_, _>>()?);
            live::Work::Publish {
                addr,
                topic,
                event,
                tls: tls.into(),
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(live::run(work))
}

/// Whoever reads standard output has had enough.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    match error.downcast_ref::<decode::DecodeFailure>() {
        Some(decode::DecodeFailure::Io(error)) => broken(error),
        Some(decode::DecodeFailure::Invalid(_)) => false,
        None => error.downcast_ref::<io::Error>().is_some_and(broken),
    }
}
