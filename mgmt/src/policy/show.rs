//! A policy as a file that says the same.

use std::fmt;

use super::{Policy, Rule};

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "allow_unauthenticated = {}", self.allow_unauthenticated)?;
        self.rules.iter().try_for_each(|rule| write!(f, "\n{rule}"))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[rule]]")?;
        if let Some(listener) = self.listener {
            writeln!(f, "listener = {}", quoted(listener.as_str()))?;
        }
        if !self.certificates.is_empty() {
            writeln!(f, "certificate = {}", list(&self.certificates))?;
        }
        if !self.addresses.is_empty() {
            writeln!(f, "address = {}", list(&self.addresses))?;
        }
        let roles: Vec<&str> = self.roles.iter().map(|role| role.as_str()).collect();
        writeln!(f, "roles = {}", list(&roles))?;
        match &self.agent {
            Some(agent) => writeln!(f, "agent = {}", quoted(agent)),
            None => Ok(()),
        }
    }
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
