//! What a systemd unit says of a service that does not run (systemd.service(5), systemd.exec(5),
//! systemd.syntax(7)).

use std::collections::BTreeMap;

/// A service, as far as it matters here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UnitFile {
    /// The words behind `ExecStart=`, variables put in.
    pub command: Vec<String>,
    /// Its environment, files of it included.
    pub env: BTreeMap<String, String>,
    /// Its `WorkingDirectory=`.
    pub directory: Option<String>,
    /// Its `User=`.
    pub user: Option<String>,
    /// What is not understood.
    pub problems: Vec<String>,
}

/// Reads a unit: its file, then additions to it, in systemd's order. `read` gives the text of a
/// file that `EnvironmentFile=` names, or why there is none.
pub fn read(texts: &[String], read: &mut dyn FnMut(&str) -> Result<String, String>) -> UnitFile {
    let mut unit = UnitFile::default();
    let mut command = String::new();
    let mut files = Vec::new();
    for (name, value) in texts.iter().flat_map(|text| settings(text)) {
        match name.as_str() {
            "ExecStart" => command = value,
            "WorkingDirectory" => {
                let path = value.strip_prefix('-').unwrap_or(&value);
                unit.directory = Some(unit.plain(path)).filter(|path| !path.is_empty());
            }
            "User" => unit.user = Some(unit.plain(&value)).filter(|user| !user.is_empty()),
            "Environment" if value.is_empty() => unit.env.clear(),
            "Environment" => {
                let words = unit.words(&value);
                let pairs = words.iter().filter_map(|word| word.split_once('='));
                let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                unit.env.extend(pairs);
            }
            "EnvironmentFile" if value.is_empty() => files.clear(),
            "EnvironmentFile" => files.push(value),
            _ => {}
        }
    }
    // They count more than Environment=, wherever either stands (systemd.exec(5)).
    for file in files {
        unit.environment_file(&file, read);
    }
    // Marks of how the command is run, not part of its path.
    let command = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let words = unit.words(command);
    unit.command = words
        .iter()
        .flat_map(|word| expand(word, &unit.env))
        .collect();
    if unit.command.is_empty() {
        unit.problems.push("there is no ExecStart".to_owned());
    }
    unit
}

/// Pairs of the section `[Service]`.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut is_service = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            // Comments between the parts of a line belong to nothing.
            let next = lines
                .by_ref()
                .map(str::trim)
                .find(|line| !line.starts_with(['#', ';']));
            whole.push(' ');
            whole.push_str(next.unwrap_or_default());
        }
        if whole.starts_with('[') {
            is_service = whole == "[Service]";
        } else if let (true, Some((name, value))) = (is_service, whole.split_once('=')) {
            found.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found
}

impl UnitFile {
    fn environment_file(
        &mut self,
        value: &str,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) {
        let path = self.plain(value.strip_prefix('-').unwrap_or(value));
        let text = match read(&path) {
            Ok(text) => text,
            Err(_) if value.starts_with('-') => return,
            Err(problem) => return self.problems.push(format!("{path}: {problem}")),
        };
        for line in text.lines().map(str::trim) {
            let is_comment = line.starts_with(['#', ';']);
            if let (false, Some((name, value))) = (is_comment, line.split_once('=')) {
                let value = value.trim();
                let quoted = ['"', '\'']
                    .iter()
                    .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
                let value = quoted.unwrap_or(value);
                self.env.insert(name.trim().to_owned(), value.to_owned());
            }
        }
    }

    /// Words as systemd takes a line apart, specifiers put in.
    fn words(&mut self, line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, c) if c.is_whitespace() => words.extend(word.take()),
                (_, '\\') => {
                    let escaped = chars.next().map(|c| match c {
                        'n' => '\n',
                        't' => '\t',
                        's' => ' ',
                        c => c,
                    });
                    word.get_or_insert_default().extend(escaped);
                }
                (_, c) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words.iter().map(|word| self.plain(word)).collect()
    }

    /// Without `%`, which stands for what only systemd knows.
    fn plain(&mut self, text: &str) -> String {
        let mut plain = String::new();
        let mut parts = text.split("%%");
        plain.push_str(parts.next().unwrap_or_default());
        for part in parts {
            plain.push('%');
            plain.push_str(part);
        }
        if text.replace("%%", "").contains('%') {
            let problem = format!("'{text}' has a specifier, which only systemd can put in");
            self.problems.push(problem);
        }
        plain
    }
}

/// `${NAME}` anywhere is its value, `$NAME` as a word is the words in it, `$$` is a `$`.
fn expand(word: &str, env: &BTreeMap<String, String>) -> Vec<String> {
    let is_name = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty() && name.chars().all(plain)
    };
    if let Some(name) = word.strip_prefix('$').filter(|name| is_name(name)) {
        let value = env.get(name).map_or("", String::as_str);
        return value.split_whitespace().map(str::to_owned).collect();
    }
    let mut whole = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        whole.push_str(before);
        let braced = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'));
        rest = match braced {
            Some((name, after)) if is_name(name) => {
                whole.push_str(env.get(name).map_or("", String::as_str));
                after
            }
            Some(_) | None => {
                whole.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
    }
    whole.push_str(rest);
    vec![whole]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(texts: &[&str]) -> UnitFile {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        read(&texts, &mut |path| match path {
            "/etc/default/zeek" => {
                Ok("# a comment\nZEEK_AGENT_NAME=\"of file\"\nOPTIONS=-C  -b\n".to_owned())
            }
            _ => Err("no such file".to_owned()),
        })
    }

    #[test]
    fn a_service_says_what_it_starts_and_in_which_surroundings() {
        let found = unit(&[r#"
[Unit]
Description=ExecStart=/no
[Service]
Type=simple
User=zeek
WorkingDirectory=-/srv/zeek
Environment="ZEEK_AGENT_NAME=one two" A=b
; no
EnvironmentFile=/etc/default/zeek
EnvironmentFile=-/not/there
ExecStart=-/opt/zeek/bin/zeek -j $OPTIONS \
  # between
  'local site' "Site::x=${A} 50%%" $$HOME Site::y=\"
[Install]
ExecStart=/never
"#]);
        let command = [
            "/opt/zeek/bin/zeek",
            "-j",
            "-C",
            "-b",
            "local site",
            "Site::x=b 50%",
            "$HOME",
            "Site::y=\"",
        ];
        assert_eq!(found.command, command);
        assert_eq!(found.env["ZEEK_AGENT_NAME"], "of file");
        assert_eq!(found.directory.as_deref(), Some("/srv/zeek"));
        assert_eq!(found.user.as_deref(), Some("zeek"));
        assert_eq!(found.problems, [""; 0]);
    }

    #[test]
    fn additions_replace_what_the_file_says() {
        let base = "[Service]\nExecStart=/bin/a\nEnvironment=A=1\nEnvironmentFile=/gone\nUser=x";
        let more = "[Service]\nExecStart=\nExecStart=/bin/b -j\nEnvironment=\nEnvironment=B=2\n\
                    EnvironmentFile=\nUser=";
        let found = unit(&[base, more]);
        assert_eq!(found.command, ["/bin/b", "-j"]);
        assert_eq!(found.env, [("B".to_owned(), "2".to_owned())].into());
        assert_eq!(found.user, None);
        assert_eq!(found.problems, [""; 0], "the file is not asked for");
    }

    #[test]
    fn a_dollar_that_begins_no_name_stands_for_itself() {
        let found = unit(&["[Service]\nExecStart=/bin/zeek $ ${a-b} x$-y ${A} $A"]);
        assert_eq!(found.command, ["/bin/zeek", "$", "${a-b}", "x$-y", ""]);
    }

    #[test]
    fn what_only_systemd_knows_is_told() {
        let text = "[Service]\nExecStart=/bin/zeek -j %i\nEnvironmentFile=/gone";
        let problems = [
            "/gone: no such file",
            "'%i' has a specifier, which only systemd can put in",
        ];
        assert_eq!(unit(&[text]).problems, problems);
        assert_eq!(unit(&["", "[Service"]).problems, ["there is no ExecStart"]);
        assert_eq!(unit(&["[Service]\nExecStart=\\"]).command, [""; 0]);
    }
}
