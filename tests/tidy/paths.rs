//! The paths that code names: `use` trees expanded, and chains such as `std::fs::read`.

use crate::source::{is_word, item_end};

/// One path, with `crate`, `self` and `super` as written.
#[derive(Debug)]
pub(crate) struct UsedPath {
    /// Segments joined by `::`; a glob ends in `*`.
    pub(crate) text: String,
    /// The line it starts on, counted from 0.
    pub(crate) line: usize,
}

/// Every path in code whose comments and literals are blanked.
pub(crate) fn used(code: &str) -> Vec<UsedPath> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 0);
    let bytes = code.as_bytes();
    while at < bytes.len() {
        if bytes[at] == b'\n' {
            line += 1;
        }
        let word = word_at(code, at);
        if word.is_empty() {
            at += 1;
            continue;
        }
        let mut end = at + word.len();
        if word == "use" && bytes.get(end).is_some_and(u8::is_ascii_whitespace) {
            end = item_end_of_use(code, at);
            expand(code[at + 3..end].trim(), "", line, &mut found);
        } else {
            end = chain_end(code, at);
            let text = &code[at..end];
            if text.contains("::") {
                found.push(UsedPath {
                    text: text.to_owned(),
                    line,
                });
            }
        }
        line += code[at..end].matches('\n').count();
        at = end;
    }
    found
}

fn item_end_of_use(code: &str, start: usize) -> usize {
    let semicolon = code[start..].find(';');
    semicolon.map_or_else(|| item_end(code, start), |len| start + len)
}

/// The word at this place, if one starts here.
fn word_at(code: &str, at: usize) -> &str {
    let bytes = code.as_bytes();
    if at > 0 && is_word(bytes[at - 1]) {
        return "";
    }
    let len = bytes[at..].iter().take_while(|&&b| is_word(b)).count();
    &code[at..at + len]
}

/// Where `a::b::c` ends; type arguments end it too.
fn chain_end(code: &str, start: usize) -> usize {
    let mut end = start + word_at(code, start).len();
    while code[end..].starts_with("::") {
        let next = word_at(code, end + 2);
        if next.is_empty() {
            break;
        }
        end += 2 + next.len();
    }
    end
}

fn expand(tree: &str, prefix: &str, line: usize, found: &mut Vec<UsedPath>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        let text = format!("{prefix}{name}");
        let text = text.trim_end_matches("::self").to_owned();
        if !name.is_empty() {
            found.push(UsedPath { text, line });
        }
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let inner = tree[open + 1..].trim_end_matches([' ', '\n', ';']);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    for branch in branches(inner) {
        expand(branch, &prefix, line, found);
    }
}

/// Splits at the commas that are in no braces.
fn branches(inner: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    parts
}
