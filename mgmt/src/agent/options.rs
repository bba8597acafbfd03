//! Script options of a node (API §12.1 D27).
//!
//! A supervisor's NodeConfig has no place for them, so they travel as a script of their own, which
//! the agent writes and the node loads behind the scripts that declare them.

use std::path::PathBuf;

use crate::model::{Node, NodeOption};
use crate::settings::AgentSettings;
use crate::settings::script::objection;

/// Where the scripts are put, below the state directory.
pub const DIRECTORY: &str = "zeek-mgmt/options";

/// The script that sets a node's options, if it has any. What a constant means is for Zeek to say.
pub(super) fn script(node: &Node) -> Option<String> {
    // A value may end in a comment.
    let line = |option: &NodeOption| format!("redef {} = {}\n;\n", option.name, option.value);
    let options = node.options.iter().flatten();
    Some(options.map(line).collect()).filter(|text: &String| !text.is_empty())
}

/// Where it is.
pub(super) fn path(settings: &AgentSettings, node: &Node) -> PathBuf {
    settings.options_dir.join(format!("{}.zeek", node.name))
}

/// Why a node cannot have its options. They come from clients, who may set constants and no more: a
/// name that is none would be another statement, and a value that is not constant could run programs.
pub(super) fn refusal(node: &Node) -> Option<String> {
    node.options.iter().flatten().find_map(|option| {
        let name = option.name.escape_debug();
        if !is_name(&option.name) {
            return Some(format!(
                "node '{}' has an option with the impossible name '{name}'",
                node.name
            ));
        }
        let word = objection(&option.value)?;
        Some(format!(
            "node '{}' has an option '{name}' that is not constant: '{}'",
            node.name,
            word.escape_debug()
        ))
    })
}

/// Zeek's identifiers, with any number of modules before them.
fn is_name(text: &str) -> bool {
    text.split("::").all(|part| {
        let mut chars = part.chars();
        let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        chars.next().is_some_and(is_letter) && chars.all(|c| is_letter(c) || c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use supervisor::api::SupervisorRequest;

    use super::super::Output;
    use super::super::tests::*;
    use super::*;
    use crate::model::ClusterRole;

    #[test]
    fn d27_options_are_written_before_the_order_that_names_their_script() {
        let mut rig = Rig::new();
        let options = [("Site::private", "T"), ("Foo::bar", "\"x\" # why")];
        let mut worker = with_options("w1", &options);
        worker.scripts = Some(vec!["local".into()]);
        let (_, ordered) = rig.deploy("r1", config("c1", vec![worker]), status([]));
        let path = Path::new("/usr/local/zeek/var/lib/zeek-mgmt/options/w1.zeek");
        let text = "redef Foo::bar = \"x\" # why\n;\nredef Site::private = T\n;\n";
        let want = Output::WriteOptions {
            path: path.to_owned(),
            text: text.into(),
        };
        assert_eq!(ordered[0], want);
        let [Output::ToSupervisor { request }] = &ordered[1..] else {
            panic!("not one order: {ordered:?}");
        };
        let SupervisorRequest::Create { node, .. } = request else {
            panic!("no node is created: {request:?}");
        };
        let scripts = [
            "local",
            "/usr/local/zeek/var/lib/zeek-mgmt/options/w1.zeek",
            "policy/frameworks/management/node",
        ];
        assert_eq!(node.addl_user_scripts, scripts);
    }

    #[test]
    fn names_of_options_are_names() {
        for name in ["a", "_a1", "Module::name", "A::B::c"] {
            assert_eq!(refusal(&with_options("w", &[(name, "1")])), None, "{name}");
        }
        for name in ["", "1a", "a::", "a b", "a=1; x", "a\n"] {
            let why = format!(
                "node 'w' has an option with the impossible name '{}'",
                name.escape_debug()
            );
            assert_eq!(refusal(&with_options("w", &[(name, "1")])), Some(why));
        }
    }

    #[test]
    fn values_of_options_are_constants() {
        let run = "1; event zeek_init() { system(\"x\"); }";
        let why = "node 'w' has an option 'A::b' that is not constant: ';'";
        let refused = refusal(&with_options("w", &[("A::a", "1"), ("A::b", run)]));
        assert_eq!(refused.as_deref(), Some(why));
    }

    #[test]
    fn other_options_are_a_change() {
        let mut rig = Rig::deployed();
        rig.agent.settings.deploying.unchanged = crate::settings::Unchanged::Keep;
        let worker = |value| vec![with_options("w1", &[("A::b", value)])];
        let (_, first) = rig.deploy("r1", config("c1", worker("1")), status([]));
        let running = rig.as_ordered(&first);
        rig.started("w1");
        rig.node_hello("w1", peer(20));
        let (_, same) = rig.deploy("r2", config("c2", worker("1")), running.clone());
        assert_eq!(same.len(), 1, "only the answer: {same:?}");
        let (_, other) = rig.deploy("r3", config("c3", worker("2")), running);
        assert_eq!(other.len(), 3, "end, write, start: {other:?}");
    }

    fn with_options(name: &str, options: &[(&str, &str)]) -> Node {
        let option = |(name, value): &(&str, &str)| NodeOption {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        Node {
            options: Some(options.iter().map(option).collect()),
            ..node(name, ClusterRole::Worker, None)
        }
    }
}
