//! The one contract that every machine keeps: a constructor and four methods.

use crate::source::{Place, Source, Violation, item_end};

/// Package and type.
const MACHINES: [(&str, &str); 9] = [
    ("broker-proto", "Endpoint"),
    ("zeek-client-compat", "Hub"),
    ("supervisor", "Supervisor"),
    ("supervisor", "SupervisorProcess"),
    ("mgmt", "Controller"),
    ("mgmt", "ControllerProcess"),
    ("mgmt", "Agent"),
    ("mgmt", "AgentProcess"),
    ("mgmt", "Archival"),
];

/// Signatures without blanks; the type of the input is the machine's own.
const METHODS: [(&str, &str); 5] = [
    ("new", "pubfnnew("),
    ("handle", "pubfnhandle(&mutself,now:Instant,input:"),
    (
        "handle_timeout",
        "pubfnhandle_timeout(&mutself,now:Instant)",
    ),
    ("poll_output", "pubfnpoll_output(&mutself)->Option<"),
    ("poll_timeout", "pubfnpoll_timeout(&self)->Option<Instant>"),
];

/// Machines that do not exist, have no method of the contract, or have it in another shape.
pub(crate) fn incomplete(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (package, name) in MACHINES {
        let own = sources.iter().filter(|source| source.package() == package);
        let own: Vec<_> = own.filter(|source| source.place == Place::Pure).collect();
        let home = own.iter().find_map(|source| {
            let line = source.code.iter().position(|line| declares(line, name))?;
            Some((*source, line))
        });
        let Some((home, line)) = home else {
            let path = format!("{package}/src");
            found.push(Violation::new(&path, 0, format!("no machine `{name}`")));
            continue;
        };
        let body: String = own
            .iter()
            .map(|source| inherent_impls(source, name))
            .collect();
        for (method, signature) in METHODS {
            if !body.contains(signature) {
                let rule = format!("`{name}` has no `{method}` as machines have it");
                found.push(home.violation(line, rule));
            }
        }
    }
    found
}

fn declares(line: &str, name: &str) -> bool {
    let after = line.trim_start().strip_prefix("pub struct ");
    let after = after.and_then(|rest| rest.strip_prefix(name));
    after.is_some_and(|rest| rest.starts_with([' ', '<', '(', ';', '{']))
}

/// The bodies of `impl Name { … }`, without blanks and without commas before a bracket, so that it
/// does not matter how a signature is wrapped.
fn inherent_impls(source: &Source, name: &str) -> String {
    let code = source.code.join("\n");
    let mut bodies = String::new();
    for start in [format!("\nimpl {name} {{"), "\nimpl<".to_owned()] {
        for (at, _) in code.match_indices(&start) {
            let item = code.get(at..item_end(&code, at)).unwrap_or_default();
            let head = item.split('{').next().unwrap_or_default();
            if head.contains(&format!("{name}<")) || head.trim() == format!("impl {name}") {
                bodies.push_str(item);
            }
        }
    }
    bodies.retain(|c| !c.is_whitespace());
    bodies.replace(",)", ")")
}
