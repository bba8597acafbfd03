//! The arguments of `zeek -j`, told apart as Zeek does (stock: `Options.cc`, `parse_cmdline`).

use super::is_setting;

/// What an argument list says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Arguments {
    /// Names of scripts.
    pub scripts: Vec<String>,
    /// `NAME=VALUE`.
    pub settings: Vec<String>,
    /// Script code (`-e`).
    pub code: Vec<String>,
    /// What every node gets: all of the above and Zeek's options for them.
    pub nodes: Vec<String>,
    /// Our own `--zeek`, the last one.
    pub zeek: Option<String>,
    /// Our own `--redef`.
    pub redefs: Vec<String>,
    /// Our own `--show-settings`.
    pub show_settings: bool,
    /// `-j`, which makes a `zeek` a supervisor.
    pub jobs: bool,
    /// Our own `--policy`, the last one.
    pub policy: Option<String>,
    /// Our own `--allow-unauthenticated`.
    pub allow_unauthenticated: bool,
    /// Our own `--show-policy`.
    pub show_policy: bool,
    /// Our own `--limit`, by name.
    pub limits: Vec<(String, u64)>,
}

/// What to do with an option of Zeek's.
#[derive(Clone, Copy)]
enum Treatment {
    /// Nodes get it.
    Pass,
    /// Nothing is to be done.
    Implied,
    /// Nodes get it, and there may be settings in it.
    Code,
    /// It is not for a cluster.
    Refuse(&'static str),
}

/// Whether an option has a value.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Operand {
    None,
    Required,
    /// Only in the same word.
    Optional,
}

use Operand::{None as Alone, Optional, Required};
use Treatment::{Code, Implied, Pass, Refuse};

const ONE_SHOT: Treatment = Refuse("it ends Zeek at once");
const TRAFFIC: Treatment = Refuse("nodes get their traffic from the cluster's configuration");

/// Short and long name; a space for no short one.
const OPTIONS: &[(char, &str, Operand, Treatment)] = &[
    ('a', "parse-only", Alone, ONE_SHOT),
    ('b', "bare-mode", Alone, Pass),
    ('c', "capture-unprocessed", Required, Pass),
    ('d', "debug-script", Alone, Refuse("it needs a terminal")),
    ('e', "exec", Required, Code),
    ('f', "filter", Required, Pass),
    ('h', "help", Alone, ONE_SHOT),
    ('i', "iface", Required, TRAFFIC),
    ('j', "jobs", Optional, Implied),
    ('p', "prefix", Required, Pass),
    ('r', "readfile", Required, TRAFFIC),
    ('s', "rulefile", Required, Pass),
    ('t', "tracefile", Required, Pass),
    ('u', "usage-issues", Alone, Pass),
    ('v', "version", Alone, ONE_SHOT),
    ('w', "writefile", Required, Pass),
    ('B', "debug", Required, Pass),
    ('C', "no-checksums", Alone, Pass),
    ('D', "deterministic", Alone, Pass),
    ('E', "event-trace", Required, Pass),
    ('F', "force-dns", Alone, Pass),
    ('G', "load-seeds", Required, Pass),
    ('H', "save-seeds", Required, Pass),
    ('I', "print-id", Required, ONE_SHOT),
    ('N', "print-plugins", Alone, ONE_SHOT),
    ('O', "optimize", Required, Pass),
    ('o', "optimize-funcs", Required, Pass),
    ('0', "optimize-files", Required, Pass),
    ('P', "prime-dns", Alone, Pass),
    ('Q', "time", Alone, Pass),
    ('S', "debug-rules", Alone, Pass),
    ('T', "re-level", Required, Pass),
    ('U', "status-file", Required, Pass),
    ('V', "build-info", Alone, ONE_SHOT),
    ('W', "watchdog", Alone, Pass),
    ('X', "zeekygen", Required, ONE_SHOT),
    (' ', "no-optimize-funcs", Required, Pass),
    (' ', "no-optimize-files", Required, Pass),
    (' ', "no-unused-warnings", Alone, Pass),
    (' ', "profile-scripts", Optional, Pass),
    (' ', "profile-script-call-stacks", Optional, Pass),
    (
        ' ',
        "pseudo-realtime",
        Optional,
        Refuse("it is for reading files"),
    ),
    (' ', "test", Alone, ONE_SHOT),
];

/// Tells arguments apart. Options may stand anywhere, as with Zeek; our own as well.
///
/// # Errors
/// Everything that is wrong.
pub fn parse(arguments: Vec<String>) -> Result<Arguments, Vec<String>> {
    let (found, errors) = parse_partly(arguments);
    if errors.is_empty() {
        Ok(found)
    } else {
        Err(errors)
    }
}

/// The same, with whatever can be used of arguments some of which are wrong.
pub fn parse_partly(arguments: Vec<String>) -> (Arguments, Vec<String>) {
    let mut parser = Parser {
        rest: arguments.into_iter(),
        found: Arguments::default(),
        errors: Vec::new(),
    };
    while let Some(argument) = parser.rest.next() {
        parser.argument(argument);
    }
    (parser.found, parser.errors)
}

struct Parser {
    rest: std::vec::IntoIter<String>,
    found: Arguments,
    errors: Vec<String>,
}

impl Parser {
    fn argument(&mut self, argument: String) {
        if argument == "--" {
            // A script, and what Zeek gives it as its arguments.
            let rest: Vec<String> = self.rest.by_ref().collect();
            self.found.scripts.extend(rest.first().cloned());
            self.found.nodes.push(argument);
            self.found.nodes.extend(rest);
        } else if let Some(long) = argument.strip_prefix("--") {
            self.long(long);
        } else if argument.len() > 1 && argument.starts_with('-') {
            self.short(&argument);
        } else {
            if is_setting(&argument) {
                self.found.settings.push(argument.clone());
            } else if !argument.contains("::") {
                self.found.scripts.push(argument.clone());
            }
            self.found.nodes.push(argument);
        }
    }

    fn long(&mut self, text: &str) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name {
            "zeek" => self.found.zeek = self.operand("--zeek", value),
            "redef" => {
                let file = self.operand("--redef", value);
                self.found.redefs.extend(file);
            }
            "show-settings" => self.found.show_settings = true,
            "policy" => self.found.policy = self.operand("--policy", value),
            "allow-unauthenticated" => self.found.allow_unauthenticated = true,
            "show-policy" => self.found.show_policy = true,
            _ => {
                let known = OPTIONS.iter().find(|(_, long, ..)| *long == name);
                let Some((_, _, operand, treatment)) = known else {
                    let text = "options of zeek-mgmt come before scripts and settings";
                    let text = format!("Zeek has no option --{name}; {text}");
                    self.errors.push(text);
                    return;
                };
                let shown = format!("--{name}");
                let value = match operand {
                    Alone => None,
                    Optional => value,
                    Required => match self.operand(&shown, value) {
                        Some(value) => Some(value),
                        None => return,
                    },
                };
                let words = match &value {
                    Some(value) => vec![format!("{shown}={value}")],
                    None => vec![shown.clone()],
                };
                self.treat(&shown, *treatment, words, value);
            }
        }
    }

    /// One word may have several options in it, the last one with its value.
    fn short(&mut self, word: &str) {
        let mut letters = word.chars();
        letters.next();
        while let Some(letter) = letters.next() {
            let known = OPTIONS.iter().find(|(short, ..)| *short == letter);
            let Some((_, _, operand, treatment)) = known.filter(|_| letter != ' ') else {
                self.errors.push(format!("Zeek has no option -{letter}"));
                return;
            };
            let shown = format!("-{letter}");
            if *operand == Alone {
                self.treat(&shown, *treatment, vec![shown.clone()], None);
                continue;
            }
            let joined = Some(letters.as_str()).filter(|rest| !rest.is_empty());
            let joined = joined.map(str::to_owned);
            let value = match operand {
                Optional | Alone => joined,
                Required => match self.operand(&shown, joined) {
                    Some(value) => Some(value),
                    None => return,
                },
            };
            let mut words = vec![shown.clone()];
            words.extend(value.clone());
            self.treat(&shown, *treatment, words, value);
            return;
        }
    }

    fn treat(
        &mut self,
        shown: &str,
        treatment: Treatment,
        words: Vec<String>,
        value: Option<String>,
    ) {
        match treatment {
            Pass => self.found.nodes.extend(words),
            Implied => self.found.jobs = true,
            Code => {
                self.found.code.extend(value);
                self.found.nodes.extend(words);
            }
            Refuse(why) => {
                let text = format!("Zeek's option {shown} cannot be used here: {why}");
                self.errors.push(text);
            }
        }
    }

    fn operand(&mut self, shown: &str, joined: Option<String>) -> Option<String> {
        let value = joined.or_else(|| self.rest.next());
        if value.is_none() {
            self.errors.push(format!("option {shown} needs a value"));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Arguments, Vec<String>> {
        parse(arguments.iter().map(|word| (*word).to_owned()).collect())
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn options_stand_anywhere_and_reach_the_nodes() {
        let arguments = parsed(&[
            "-j",
            "local",
            "-bC",
            "-pfoo",
            "-s",
            "my.sig",
            "A::b=1",
            "--exec=@load x",
            "-e",
            "redef A::c = 2;",
            "Some::Plugin",
            "--redef",
            "f.zeek",
            "--zeek=/opt/zeek/bin/zeek",
            "--jobs=4",
            "--allow-unauthenticated",
            "--policy=p.toml",
            "--show-policy",
            "--show-settings",
            "--watchdog",
        ])
        .unwrap();
        assert_eq!(arguments.scripts, strings(&["local"]));
        assert_eq!(arguments.settings, strings(&["A::b=1"]));
        assert_eq!(arguments.code, strings(&["@load x", "redef A::c = 2;"]));
        let nodes = [
            "local",
            "-b",
            "-C",
            "-p",
            "foo",
            "-s",
            "my.sig",
            "A::b=1",
            "--exec=@load x",
            "-e",
            "redef A::c = 2;",
            "Some::Plugin",
            "--watchdog",
        ];
        assert_eq!(arguments.nodes, strings(&nodes));
        assert_eq!(arguments.redefs, strings(&["f.zeek"]));
        assert_eq!(arguments.zeek.as_deref(), Some("/opt/zeek/bin/zeek"));
        assert!(arguments.show_settings);
        assert!(arguments.jobs);
        assert!(arguments.allow_unauthenticated && arguments.show_policy);
        assert_eq!(arguments.policy.as_deref(), Some("p.toml"));
    }

    #[test]
    fn what_is_not_for_a_cluster_is_refused_by_name_and_all_at_once() {
        let errors = parsed(&[
            "-i",
            "eth0",
            "-r",
            "a.pcap",
            "--parse-only",
            "-y",
            "--x",
            "-e",
        ]);
        let traffic = "nodes get their traffic from the cluster's configuration";
        let expected = [
            format!("Zeek's option -i cannot be used here: {traffic}"),
            format!("Zeek's option -r cannot be used here: {traffic}"),
            "Zeek's option --parse-only cannot be used here: it ends Zeek at once".to_owned(),
            "Zeek has no option -y".to_owned(),
            "Zeek has no option --x; options of zeek-mgmt come before scripts and settings"
                .to_owned(),
            "option -e needs a value".to_owned(),
        ];
        assert_eq!(errors, Err(expected.to_vec()));
    }

    #[test]
    fn what_is_right_among_wrong_arguments_can_be_had() {
        let arguments = ["-ij", "-r", "-j", "local", "-y", "-bj4", "A::b=1"].map(str::to_owned);
        let (found, errors) = parse_partly(arguments.to_vec());
        assert!(found.jobs);
        assert_eq!(found.nodes, strings(&["local", "-b", "A::b=1"]));
        assert_eq!(errors.len(), 3);
        let value = ["-i", "-j", "local"].map(str::to_owned);
        assert!(!parse_partly(value.to_vec()).0.jobs);
    }

    #[test]
    fn a_script_behind_two_dashes_keeps_its_arguments() {
        let arguments = parsed(&["a", "--", "b", "-r", "c"]).unwrap();
        assert_eq!(arguments.scripts, strings(&["a", "b"]));
        assert_eq!(arguments.nodes, strings(&["a", "--", "b", "-r", "c"]));
    }
}
