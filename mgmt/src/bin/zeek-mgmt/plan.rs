//! `zeek-mgmt plan`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use mgmt::io::sources;
use mgmt::plan::cluster::Cluster;
use mgmt::plan::target::Hints;
use mgmt::plan::{Plan, show};

use crate::End;
use crate::agent::unchanged;
use crate::settings::{SettingArgs, controllers_settings};

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Where the controller's WebSocket port is: HOST, HOST:PORT or :PORT.
    ///
    /// Without it, as zeek-client: ZEEK_CLIENT_CONFIG_SETTINGS, ZEEK_CLIENT_CONFIG_FILE; else the
    /// controller of this host.
    #[arg(long, value_name = "HOST:PORT")]
    controller: Option<String>,
    /// Print JSON.
    #[arg(long)]
    as_json: bool,
    /// The agents run with --keep-unchanged.
    #[arg(long)]
    keep_unchanged: bool,
    /// The configuration, as for zeek-client; '-' for standard input.
    #[arg(value_name = "CONFIG.ini")]
    config: PathBuf,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(crate) fn plan(args: PlanArgs) -> Result<Result<ExitCode, End>, Box<dyn Error>> {
    let settings = match controllers_settings(args.settings) {
        Ok(settings) => settings,
        Err(end) => return Ok(Err(end)),
    };
    let env = |name| std::env::var(name).ok();
    let file = env("ZEEK_CLIENT_CONFIG_FILE");
    let file = file.map(|path| read(Path::new(&path))).transpose()?;
    let env_settings = env("ZEEK_CLIENT_CONFIG_SETTINGS");
    let hints = Hints {
        file: file.as_deref(),
        settings: env_settings.as_deref(),
        argument: args.controller.as_deref(),
    };
    let controller = hints.resolve(settings.controller.listen_websocket.as_ref())?;
    let text = match args.config.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin())?,
        Some(_) | None => read(&args.config)?,
    };
    let cluster = Cluster::parse(&text, &sources::hostname())?;
    let observed = mgmt::io::plan::observe(&controller)?;
    let unchanged = unchanged(args.keep_unchanged);
    let mut plan = Plan::new(cluster.config, &observed, &settings.controller, unchanged);
    plan.warnings.extend(cluster.ignored);
    if args.as_json {
        println!("{:#}", show::json(&plan));
    } else {
        print!("{}", show::text(&plan));
    }
    Ok(Ok(ExitCode::from(u8::from(!plan.is_deployable()))))
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| format!("{}: {error}", path.display()))
}
