//! What an agent is told that stock's agent has no setting for.

use std::path::Path;

use clap::Args;
use mgmt::agent::node_script::NodeScript;
use mgmt::io::node_script::wanted_by;
use mgmt::io::run::{AgentChoices, FormerNodes};
use mgmt::settings::{Deploying, StartOrder, Unchanged};

use crate::settings::{AccessArgs, SettingArgs};

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) agent: AgentOptions,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// What stock's agent has no setting for.
#[derive(Debug, Args)]
pub(crate) struct AgentOptions {
    /// What nodes load to talk to the agent: Zeek's own script, `stock`, or ours, `own`; default:
    /// Zeek's own, unless its scripts are there without it.
    #[arg(long, value_name = "stock|own", value_parser = node_script)]
    node_script: Option<NodeScript>,
    /// Leave nodes running about which a deployment changes nothing.
    #[arg(long)]
    keep_unchanged: bool,
    /// Start managers when all loggers of this host are up or have failed, then proxies, then
    /// workers.
    #[arg(long)]
    start_by_role: bool,
    /// When the agent alone is restarted it goes on with its nodes; default, as stock: they are
    /// replaced.
    #[arg(long)]
    adopt_nodes: bool,
}

impl AgentOptions {
    pub(crate) fn choices(&self, zeek: &Path) -> AgentChoices {
        let start = match self.start_by_role {
            true => StartOrder::RoleByRole,
            false => StartOrder::Together,
        };
        AgentChoices {
            node_script: self.node_script.unwrap_or_else(|| wanted_by(zeek)),
            deploying: Deploying {
                unchanged: unchanged(self.keep_unchanged),
                start,
            },
            former_nodes: match self.adopt_nodes {
                true => FormerNodes::Adopt,
                false => FormerNodes::Forget,
            },
        }
    }
}

pub(crate) fn unchanged(keep: bool) -> Unchanged {
    match keep {
        true => Unchanged::Keep,
        false => Unchanged::Restart,
    }
}

fn node_script(text: &str) -> Result<NodeScript, String> {
    let error = || format!("'{text}' is neither stock nor own");
    NodeScript::from_name(text).ok_or_else(error)
}

/// As [`AgentOptions`] reads them.
pub(crate) fn agent_options(choices: AgentChoices) -> Vec<String> {
    let AgentChoices {
        node_script,
        deploying,
        former_nodes,
    } = choices;
    let mut words = vec!["--node-script", node_script.as_str()];
    match deploying.unchanged {
        Unchanged::Keep => words.push("--keep-unchanged"),
        Unchanged::Restart => {}
    }
    match deploying.start {
        StartOrder::RoleByRole => words.push("--start-by-role"),
        StartOrder::Together => {}
    }
    match former_nodes {
        FormerNodes::Adopt => words.push("--adopt-nodes"),
        FormerNodes::Forget => {}
    }
    words.into_iter().map(str::to_owned).collect()
}
