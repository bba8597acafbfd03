//! The policy of a program, read from its file, and read again.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::limits::Limits;
use crate::policy::file::{MAX_BYTES, PolicyFile};
use crate::policy::{Policy, Protection};
use crate::settings::Unauthenticated;

/// What the command line says about who may do what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// The policy file (`--policy`).
    pub file: Option<PathBuf>,
    /// `--allow-unauthenticated`, which counts even if the file says otherwise.
    pub unauthenticated: Unauthenticated,
    /// Limits by their names (`--limit`), which count before those of the file.
    pub limits: Vec<(String, u64)>,
}

impl Access {
    /// Arguments that say the same to a program in another directory; `base` is ours.
    #[must_use]
    pub fn arguments(&self, base: &Path) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(file) = &self.file {
            arguments.push("--policy".to_owned());
            arguments.push(base.join(file).display().to_string());
        }
        match self.unauthenticated {
            Unauthenticated::Allowed => arguments.push("--allow-unauthenticated".to_owned()),
            Unauthenticated::Refused => {}
        }
        for (name, number) in &self.limits {
            arguments.extend(["--limit".to_owned(), format!("{name}={number}")]);
        }
        arguments
    }
}

/// A policy that was read without an error.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    access: Access,
    file: PolicyFile,
}

impl Rules {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// Everything that is wrong with it, a line each.
    pub fn read(access: Access) -> Result<Self, Vec<String>> {
        let mut file = match &access.file {
            Some(path) => read(path)?,
            None => PolicyFile::default(),
        };
        file.allow_unauthenticated |= access.unauthenticated == Unauthenticated::Allowed;
        for (name, number) in &access.limits {
            let set = file.limits.set(name, *number);
            set.map_err(|error| vec![format!("--limit {name}: {error}")])?;
        }
        Ok(Self { access, file })
    }

    /// The command line's part.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The limits that the command line and the file set, and the usual ones.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.file.limits
    }

    /// Whether ports without certificates may be reached from other hosts.
    #[must_use]
    pub fn unauthenticated(&self) -> Unauthenticated {
        match self.file.allow_unauthenticated {
            true => Unauthenticated::Allowed,
            false => Unauthenticated::Refused,
        }
    }

    /// The rules in force.
    #[must_use]
    pub fn policy(&self, protection: Protection) -> Policy {
        Policy::of(&self.file, protection)
    }

    /// Reads the file again; `None`, and a word in the log, if it is no good or there is none.
    pub fn reload(&mut self, protection: Protection) -> Option<Policy> {
        let path = self.access.file.clone()?;
        match Self::read(self.access.clone()) {
            Ok(read) => {
                if read.file.allow_unauthenticated != self.file.allow_unauthenticated {
                    warn!(
                        "allow_unauthenticated has changed: ports listen where they did until a restart"
                    );
                }
                info!(file = %path.display(), "policy read again");
                *self = read;
                Some(self.policy(protection))
            }
            Err(problems) => {
                for problem in problems {
                    warn!("the policy stays as it is: {problem}");
                }
                None
            }
        }
    }
}

fn read(path: &Path) -> Result<PolicyFile, Vec<String>> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| vec![format!("{name}: {error}")])?;
    let texts = |problems: Vec<_>| problems.iter().map(ToString::to_string).collect();
    PolicyFile::read(&text, &name).map_err(texts)
}

/// No more than is looked at, whatever the file is.
fn read_text(path: &Path) -> io::Result<String> {
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    File::open(path)?
        .take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_errors_leaves_the_rules_as_they_were() {
        let name = format!("zeek-mgmt-policy-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let access = Access {
            file: Some(path.clone()),
            ..Access::default()
        };
        let protection = Protection::default();

        write("[[rule]]\nroles = \"viewer\"\n");
        let mut rules = Rules::read(access.clone()).unwrap();
        let before = rules.policy(protection);
        write("[[rule]]\nroles = \"boss\"\nlistener = 1\n");
        let problems = Rules::read(access.clone()).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        let file = path.display();
        assert!(
            problems[0].starts_with(&format!("{file}:2: ")),
            "{problems:?}"
        );
        assert_eq!(rules.reload(protection), None);
        assert_eq!(rules.policy(protection), before);
        write("[[rule]]\nroles = \"operator\"\n");
        let after = rules.reload(protection).unwrap();
        assert_ne!(after, before);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(rules.reload(protection), None);
        assert_eq!(rules.policy(protection), after);
        let problems = Rules::read(access).unwrap_err();
        assert!(
            problems[0].ends_with("No such file or directory (os error 2)"),
            "{problems:?}"
        );
    }

    #[test]
    fn what_the_command_line_allows_is_handed_on() {
        let access = Access {
            file: Some("p.toml".into()),
            unauthenticated: Unauthenticated::Allowed,
            limits: vec![("clients".into(), 7)],
        };
        let arguments = access.arguments(Path::new("/etc/zeek")).join(" ");
        let handed_on = "--policy /etc/zeek/p.toml --allow-unauthenticated --limit clients=7";
        assert_eq!(arguments, handed_on);
        let rules = Rules::read(Access {
            file: None,
            ..access
        });
        let rules = rules.unwrap();
        assert_eq!(rules.policy(Protection::default()), Policy::open());
        assert_eq!(rules.limits().clients, 7);
    }
}
