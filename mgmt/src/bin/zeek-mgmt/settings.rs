//! What programs without nodes are told: settings, and nothing else.

use std::path::{Path, PathBuf};

use clap::Args;
use mgmt::io::rules::{Access, Rules};
use mgmt::io::sources::{Reader, Said};
use mgmt::limits::Limits;
use mgmt::settings::arguments::Arguments;
use mgmt::settings::{Program, SettingError, Settings, Unauthenticated};
use tracing::warn;

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

/// Who may do what.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// Take from this file who may do what; controller and agent read it again at SIGHUP, a
    /// supervisor keeps the rules of its start.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<String>,
    /// Let ports without certificates be reached from other hosts, and everybody do everything, as
    /// stock does.
    #[arg(long)]
    pub(crate) allow_unauthenticated: bool,
    /// Print who may do what and all limits, as a policy file, and end.
    #[arg(long)]
    pub(crate) show_policy: bool,
    /// Another number for one of the limits of API.md, section 16, such as clients=100. May be given
    /// more than once.
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limit)]
    pub(crate) limits: Vec<(String, u64)>,
}

/// One limit, checked by itself.
fn limit(text: &str) -> Result<(String, u64), String> {
    let (name, number) = text
        .split_once('=')
        .ok_or_else(|| format!("'{text}' is not of the form NAME=NUMBER"))?;
    let number = number
        .parse()
        .map_err(|_| format!("'{number}' is not a whole number"))?;
    let set = Limits::default().set(name, number);
    set.map_err(|error| format!("{name}: {error}"))?;
    Ok((name.to_owned(), number))
}

/// Settings for controller and agent alone: every argument is a stock option.
pub(crate) fn own_settings(
    args: SettingArgs,
    access: AccessArgs,
    program: Program,
) -> Result<(Settings, Rules), End> {
    let arguments = Arguments {
        policy: access.policy,
        allow_unauthenticated: access.allow_unauthenticated,
        show_policy: access.show_policy,
        limits: access.limits,
        ..own_arguments(args)
    };
    let said = Said::read(&arguments, Path::new("zeek"), Reader::Alone);
    said.report();
    resolve(&said, &arguments, &[program])
}

/// The controller's settings for somebody else.
pub(crate) fn controllers_settings(args: SettingArgs) -> Result<Settings, End> {
    let arguments = own_arguments(args);
    let said = Said::read(&arguments, Path::new("zeek"), Reader::Alone);
    said.report();
    let settings = Settings::resolve(&said.given).map_err(wrong)?;
    if arguments.show_settings {
        print!("{}", said.given.show(&[Program::Controller]));
        return Err(End::Done);
    }
    Ok(settings)
}

fn own_arguments(args: SettingArgs) -> Arguments {
    Arguments {
        settings: args.settings,
        redefs: args.read.redef,
        show_settings: args.read.show_settings,
        ..Arguments::default()
    }
}

/// Settings and rules, or all that is wrong with either.
pub(crate) fn resolve(
    said: &Said,
    arguments: &Arguments,
    programs: &[Program],
) -> Result<(Settings, Rules), End> {
    let rules = Rules::read(Access {
        file: arguments.policy.as_ref().map(PathBuf::from),
        unauthenticated: match arguments.allow_unauthenticated {
            true => Unauthenticated::Allowed,
            false => Unauthenticated::Refused,
        },
        limits: arguments.limits.clone(),
    });
    let (mut settings, rules) = match (Settings::resolve(&said.given), rules) {
        (Ok(settings), Ok(rules)) => (settings, rules),
        (settings, rules) => {
            let settings = settings.err().unwrap_or_default();
            let mut errors = Vec::from_iter(settings.iter().map(ToString::to_string));
            errors.extend(rules.err().unwrap_or_default());
            return Err(End::Wrong(errors));
        }
    };
    let remarks = settings
        .confine(&said.given, programs, rules.unauthenticated())
        .map_err(wrong)?;
    if arguments.show_settings || arguments.show_policy {
        for remark in &remarks {
            println!("# {remark}");
        }
        match arguments.show_policy {
            true => print!(
                "{}\n{}",
                rules.policy(settings.protection()),
                rules.limits()
            ),
            false => print!("{}", said.given.show(programs)),
        }
        return Err(End::Done);
    }
    for remark in remarks {
        warn!("{remark}");
    }
    Ok((settings, rules))
}

fn wrong(errors: Vec<SettingError>) -> End {
    End::Wrong(errors.iter().map(ToString::to_string).collect())
}
