//! What is wrong with a node that somebody wants created.

use crate::api::{ClusterRole, NodeConfig};

/// Longer names cannot be a directory's.
const MAX_NAME: usize = 255;

/// CPUs that an affinity mask has room for.
const MAX_CPU: i64 = 1024;

/// Taken for one's own by a Zeek that finds it (API §10.4).
const STEM_VARIABLE: &str = "ZEEK_STEM";

/// The first thing that stock would say, in its order and words, but for the directory (API §9.2).
pub(super) fn by_stock(node: &NodeConfig, is_known: bool) -> Option<String> {
    let name = &node.name;
    if name.is_empty() {
        return Some("node names must not be an empty string".into());
    }
    if name.contains(' ') {
        return Some(format!("node names must not contain spaces: '{name}'"));
    }
    if is_known {
        return Some(format!("node with name '{name}' already exists"));
    }
    if node.interface.is_some() && node.pcap_file.is_some() {
        return Some(format!(
            "node with name '{name}' has interface and pcap_file set"
        ));
    }
    None
}

/// The first thing that stock lets pass, and then stumbles over.
pub(super) fn by_us(node: &NodeConfig) -> Option<String> {
    let name = &node.name;
    by_name(name)
        .or_else(|| by_texts(node))
        .or_else(|| by_environment(node))
        .or_else(|| by_cluster(node))
        .or_else(|| {
            let cpu = node.cpu_affinity?;
            (!(0..MAX_CPU).contains(&cpu))
                .then(|| format!("node with name '{name}' has no CPU {cpu} to run on"))
        })
}

/// Names are in topics, process names, paths and in front of lines (API §12.3 D65).
fn by_name(name: &str) -> Option<String> {
    if name.contains('\0') {
        return Some("node names must not contain NUL bytes".into());
    }
    if name.contains(char::is_control) {
        return Some("node names must not contain control characters".into());
    }
    if name.contains('/') || matches!(name, "." | "..") {
        return Some(format!("node names must not be paths: '{name}'"));
    }
    if name.contains(['[', ']']) {
        return Some(format!("node names must not contain brackets: '{name}'"));
    }
    if name.len() > MAX_NAME {
        return Some(format!(
            "node names must not be longer than {MAX_NAME} bytes"
        ));
    }
    None
}

/// Zeek's texts end at the first NUL.
fn by_texts(node: &NodeConfig) -> Option<String> {
    let fields = [
        ("interface", node.interface.as_slice()),
        ("pcap_file", node.pcap_file.as_slice()),
        ("directory", node.directory.as_slice()),
        ("stdout_file", node.stdout_file.as_slice()),
        ("stderr_file", node.stderr_file.as_slice()),
        ("addl_base_scripts", node.addl_base_scripts.as_slice()),
        ("addl_user_scripts", node.addl_user_scripts.as_slice()),
        ("scripts", node.scripts.as_deref().unwrap_or_default()),
    ];
    let has_nul = |texts: &[String]| texts.iter().any(|text| text.contains('\0'));
    let (field, _) = fields.into_iter().find(|(_, texts)| has_nul(texts))?;
    let name = &node.name;
    Some(format!(
        "node with name '{name}' has a NUL byte in its {field}"
    ))
}

fn by_environment(node: &NodeConfig) -> Option<String> {
    let name = &node.name;
    for (variable, value) in &node.env {
        if variable == STEM_VARIABLE {
            return Some(format!(
                "node with name '{name}' must not have {STEM_VARIABLE} in its environment"
            ));
        }
        let is_name = !variable.is_empty() && !variable.contains(['=', '\0']);
        if !is_name || value.contains('\0') {
            let variable = variable.escape_default();
            return Some(format!(
                "node with name '{name}' has an environment variable that cannot be: '{variable}'"
            ));
        }
    }
    None
}

/// A member without a role gets that of the one before it (API §12.3 D66).
fn by_cluster(node: &NodeConfig) -> Option<String> {
    let mut members = node.cluster.iter();
    let (member, _) = members.find(|(_, endpoint)| endpoint.role == ClusterRole::None)?;
    let name = &node.name;
    Some(format!(
        "node with name '{name}' has a cluster member without role: '{member}'"
    ))
}
