//! A look at JSON text before it is parsed: how much it holds, and bare `nan` and `inf`.

/// How many objects, arrays and separators the text has outside of its strings.
pub(super) fn count_tokens(text: &str) -> usize {
    let plain = Pieces(text).filter(|piece| !piece.starts_with('"'));
    plain
        .map(|piece| piece.bytes().filter(|b| b"{[,".contains(b)).count())
        .sum()
}

/// The text with bare non-finite numbers put in quotes; `None` if it has none.
pub(super) fn quote_non_finite(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut found = false;
    for piece in Pieces(text) {
        if piece.starts_with('"') {
            out.push_str(piece);
            continue;
        }
        for word in Words(piece) {
            let quoted = match word {
                "nan" | "NaN" | "-nan" => "\"nan\"",
                "inf" | "Infinity" => "\"inf\"",
                "-inf" | "-Infinity" => "\"-inf\"",
                other => {
                    out.push_str(other);
                    continue;
                }
            };
            out.push_str(quoted);
            found = true;
        }
    }
    found.then_some(out)
}

/// Cuts JSON text into strings, with their quotes, and what stands between them.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let len = if self.0.starts_with('"') {
            string_len(self.0)
        } else {
            self.0.find('"').unwrap_or(self.0.len())
        };
        let (piece, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(piece)
    }
}

/// Length of the string that `text` starts with; all of it if the closing quote is missing.
pub(super) fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Cuts text into runs of letters and minus signs, and runs of everything else.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let in_word = |c: char| c.is_ascii_alphabetic() || c == '-';
        let first = in_word(self.0.chars().next()?);
        let len = self.0.find(|c| in_word(c) != first);
        let (word, rest) = self.0.split_at(len.unwrap_or(self.0.len()));
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_words_are_quoted() {
        let quoted = quote_non_finite(r#"[nan,-inf,Infinity,"nan \" inf",1e-5,-1]"#);
        let expected = r#"["nan","-inf","inf","nan \" inf",1e-5,-1]"#;
        assert_eq!(quoted.as_deref(), Some(expected));
        assert_eq!(quote_non_finite(r#"["nan",1]"#), None);
    }

    #[test]
    fn tokens_in_strings_do_not_count() {
        assert_eq!(count_tokens(r#"{"a,[{":[1,2,"\\",","]}"#), 5);
        assert_eq!(count_tokens(r#"["open [,"#), 1);
    }
}
