//! `zeek-mgmt migrate`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use mgmt::io::migrate::{OwnOptions, System, Wanted, look};
use mgmt::migrate::{Report, show};
use mgmt::settings::Unauthenticated;

use crate::Cli;

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// End with exit code 1 if anything would be lost.
    #[arg(long)]
    check: bool,
    /// Print JSON.
    #[arg(long)]
    as_json: bool,
    /// Look only at the tree of this supervisor, a `zeek -j` or `zeek-mgmt run`.
    #[arg(long, value_name = "PID", conflicts_with = "args")]
    pid: Option<u32>,
    /// Look only at this service of systemd, running or not.
    #[arg(long, value_name = "UNIT", conflicts_with_all = ["pid", "args"])]
    unit: Option<String>,
    /// Move with this option of `run`: ports without certificates stay open to other hosts.
    #[arg(long)]
    allow_unauthenticated: bool,
    /// The zeek that runs the nodes; without it, the one that runs, or the one in PATH.
    #[arg(long, value_name = "PATH")]
    zeek: Option<PathBuf>,
    /// The state directory, if settings do not say which.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// What stands behind `zeek -j`; without it, every `zeek -j` that runs here is looked at.
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<String>,
}

/// The exit code for what could not be looked at.
const INCOMPLETE: u8 = 2;

pub(crate) fn migrate(args: MigrateArgs) -> ExitCode {
    let wanted = Wanted {
        pid: args.pid,
        unit: args.unit,
        unauthenticated: match args.allow_unauthenticated {
            true => Unauthenticated::Allowed,
            false => Unauthenticated::Refused,
        },
        zeek: args.zeek,
        state_dir: args.state_dir,
        own: own_options(),
        arguments: args.args,
    };
    let program = std::env::current_exe();
    let program = program.map_or_else(|_| "zeek-mgmt".to_owned(), |it| it.display().to_string());
    let report = Report::new(&look(&System::default(), &wanted, &program));
    let text = match args.as_json {
        true => format!("{:#}\n", show::json(&report)),
        false => show::text(&report),
    };
    // Who reads may have seen enough; the exit code says the rest.
    let _ = std::io::stdout().write_all(text.as_bytes());
    match report.losses() {
        _ if !report.is_complete() => ExitCode::from(INCOMPLETE),
        losses if args.check && losses > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Those of `run`, as it is told of them itself.
fn own_options() -> OwnOptions {
    let mut options = OwnOptions::default();
    let program = Cli::command();
    let run = program.find_subcommand("run");
    for argument in run.into_iter().flat_map(|run| run.get_arguments()) {
        let names = match argument.get_long() {
            // Zeek's arguments may have them among them.
            None | Some("zeek" | "redef") => continue,
            Some(_) if argument.get_action().takes_values() => &mut options.with_value,
            Some(_) => &mut options.flags,
        };
        names.extend(argument.get_long().map(|name| format!("--{name}")));
    }
    options
}
