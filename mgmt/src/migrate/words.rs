//! Texts of others in lines for people, shells and systemd.

/// The option whose value nobody must see.
const SECRET: &str = "ssl_passphrase";

/// What stands for its value.
const CONCEALED: &str = "=(not shown)";

/// Whether a text may hold a passphrase.
pub(super) fn is_secret(text: &str) -> bool {
    text.split_once(SECRET)
        .is_some_and(|(_, rest)| !rest.is_empty())
}

/// The text without what nobody must see, and without anything a terminal would obey.
#[must_use]
pub fn printable(text: &str) -> String {
    let concealed = concealed(text);
    let plain = |c: char| if is_plain(c) { c } else { '\u{fffd}' };
    concealed.chars().map(plain).collect()
}

/// The text up to its first passphrase. It may be put together of texts that went through here.
fn concealed(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((start, after)) = rest.split_once(SECRET) {
        shown.extend([start, SECRET]);
        rest = match after.strip_prefix(CONCEALED) {
            Some(behind) => {
                shown.push_str(CONCEALED);
                behind
            }
            None if after.is_empty() => "",
            None if after.starts_with('=') => return shown + CONCEALED,
            None => return shown + " (not shown)",
        };
    }
    shown + rest
}

/// Neither a control character nor one that turns the direction of what follows.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One word for a POSIX shell; bash's quotes for what no other can say in one line.
pub(super) fn shell(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(safe) && !word.starts_with('=') {
        return word.to_owned();
    }
    if word.chars().all(is_plain) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' => quoted.push_str(r"\'"),
            '\\' => quoted.push_str(r"\\"),
            c if is_plain(c) => quoted.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
        }
    }
    quoted.push('\'');
    quoted
}

/// Words as one line for a shell.
pub(super) fn shell_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(shell).collect();
    words.join(" ")
}

/// Words as a systemd unit has them behind `ExecStart=` (systemd.service(5), "Command lines").
pub(super) fn systemd_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words = words.into_iter().map(|word| match word {
        ";" => r"\;".to_owned(),
        word => systemd(&word.replace('$', "$$")),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// One word of a systemd unit in which `$` means nothing.
pub(super) fn systemd(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@$+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            c if is_plain(c) => quoted.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_each_word() {
        let words = [
            (
                "policy/frameworks/management/agent",
                "policy/frameworks/management/agent",
            ),
            ("Management::Agent::name=a-1", "Management::Agent::name=a-1"),
            ("", "''"),
            ("it's $HOME; rm *", r"'it'\''s $HOME; rm *'"),
            ("=x", "'=x'"),
            ("ü b", "'ü b'"),
            ("a\u{1b}[2J'\n", r"$'a\x1b[2J\'\x0a'"),
        ];
        for (word, quoted) in words {
            assert_eq!(shell(word), quoted);
        }
    }

    #[test]
    fn systemd_expands_nothing() {
        let line = systemd_line(["/bin/x", "a$b", "50%", "say \"hi\"\\", ";", "", "'"]);
        assert_eq!(line, r#"/bin/x a$$b "50%%" "say \"hi\"\\" \; "" "'""#);
        assert_eq!(systemd("A=b c$d"), "\"A=b c$d\"");
        assert_eq!(systemd("a\u{1b}\n"), r#""a\x1b\x0a""#);
    }

    #[test]
    fn passphrases_and_what_terminals_obey_are_not_shown() {
        let argument = "Broker::ssl_passphrase=secret";
        assert_eq!(printable(argument), "Broker::ssl_passphrase=(not shown)");
        let code = "redef Broker::ssl_passphrase = \"secret\";";
        assert_eq!(printable(code), "redef Broker::ssl_passphrase (not shown)");
        assert!(is_secret(argument) && is_secret(code));
        assert!(!is_secret("Broker::ssl_passphrase"));
        for told in [printable(argument), printable(code)] {
            assert_eq!(printable(&told), told, "told of by somebody else");
        }
        assert_eq!(printable("set ssl_passphrase"), "set ssl_passphrase");
        let two = format!("{}, {code}", printable(argument));
        let expected =
            "Broker::ssl_passphrase=(not shown), redef Broker::ssl_passphrase (not shown)";
        assert_eq!(printable(&two), expected);
        assert_eq!(printable("a\u{1b}]0;b\u{202e}"), "a\u{fffd}]0;b\u{fffd}");
    }
}
