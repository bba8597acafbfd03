//! What ours makes of the configurations that a stock controller keeps.

use super::super::Change;
use super::super::findings::{Kept, Tree};
use super::super::found::{in_force, listed};
use super::{differs, lost};
use crate::settings::{Role, Settings};

pub(super) fn changes(tree: &Tree, settings: &Settings, found: &mut Vec<Change>) {
    if !tree.roles.contains(&Role::Controller) {
        return;
    }
    let Kept::State { saved, .. } = &tree.state.kept else {
        return;
    };
    for (what, config) in [("staged", &saved.staged), ("deployed", &saved.deployed)] {
        for problem in config.iter().flat_map(|c| c.refusals(&settings.controller)) {
            let what =
                format!("the {what} configuration would be refused if it came again: {problem}");
            found.push(lost(what, "mend it and deploy it under stock first"));
        }
    }
    let Some(config) = in_force(tree) else {
        return;
    };
    let with_options = config.nodes.iter().filter(|node| {
        let options = node.options.as_ref();
        options.is_some_and(|options| !options.is_empty())
    });
    let with_options: Vec<String> = with_options.map(|node| node.name.clone()).collect();
    if !with_options.is_empty() {
        let what = format!(
            "`options` of {} take effect under an agent of ours; stock ignores them",
            listed(&with_options)
        );
        found.push(differs(what, "look at them before moving"));
    }
    for warning in config.warnings() {
        found.push(differs(
            format!("ours warns of the configuration: {warning}"),
            "",
        ));
    }
}
