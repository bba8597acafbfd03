//! What programs without nodes are told: settings, and nothing else.

use std::path::Path;

use clap::Args;
use mgmt::io::sources::{Reader, Said};
use mgmt::settings::arguments::Arguments;
use mgmt::settings::{Program, Settings};

use crate::End;

#[derive(Debug, Args)]
pub(crate) struct SettingArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Stock options as NAME=VALUE.
    #[arg(value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Take settings from the redef lines of this Zeek script and of what it loads; nodes do not
    /// get it. May be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) redef: Vec<String>,
    /// Print all settings, each with where it comes from, and end.
    #[arg(long)]
    pub(crate) show_settings: bool,
}

/// Settings for controller and agent alone: every argument is a stock option.
pub(crate) fn own_settings(args: SettingArgs, program: Program) -> Result<Settings, End> {
    let arguments = Arguments {
        settings: args.settings,
        redefs: args.read.redef,
        show_settings: args.read.show_settings,
        ..Arguments::default()
    };
    let said = Said::read(&arguments, Path::new("zeek"), Reader::Alone);
    said.report();
    resolve(&said, &arguments, &[program])
}

pub(crate) fn resolve(
    said: &Said,
    arguments: &Arguments,
    programs: &[Program],
) -> Result<Settings, End> {
    let settings = Settings::resolve(&said.given)
        .map_err(|errors| End::Wrong(errors.iter().map(ToString::to_string).collect()))?;
    if arguments.show_settings {
        print!("{}", said.given.show(programs));
        return Err(End::Done);
    }
    Ok(settings)
}
