//! Values that strangers may choose: constants, which run nothing.

use super::token::{Token, Words};

/// The word that makes a value more than constants in brackets: one that ends the statement, calls
/// something, or that Zeek might read otherwise than we do.
pub(crate) fn objection(value: &str) -> Option<String> {
    let mut words = Words::new(value);
    let mut opens = true;
    while let Some((word, _)) = words.next() {
        let may_open = std::mem::take(&mut opens);
        match &word {
            Token::Name(name) => opens = matches!(*name, "set" | "table" | "vector"),
            Token::Sign("(") if may_open => opens = true,
            Token::Sign("[" | "{" | "," | "=") => opens = true,
            Token::Sign("]" | "}" | ")" | "$" | "-" | "+" | "/")
            | Token::Text(_)
            | Token::Count(_)
            | Token::Double(_)
            | Token::Interval(_)
            | Token::Port(_)
            | Token::Address(_) => {}
            Token::Sign(sign) => return Some((*sign).to_owned()),
            Token::Directive { name, .. } => return Some(format!("@{name}")),
            Token::Attribute(name) => return Some((*name).to_owned()),
            Token::Directory => return Some("@DIR".to_owned()),
            Token::Pattern => return Some("a pattern".to_owned()),
            Token::Bad(why) | Token::Broken(why) => return Some(why.clone()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::objection;

    #[test]
    fn constants_are_let_through() {
        for value in [
            "T",
            "-3.5",
            "\"a; b(c) @load\"",
            "10.0.0.0/8",
            "[2001:db8::1]/64",
            "{ [1.2.3.4] = \"x\", [::1] = \"y\" }",
            "set(80/tcp, 443/tcp)",
            "vector(\"a\", \"b\")",
            "[$host=\"h\", $p=1/tcp]",
            "Notice::ACTION_LOG # why; so",
            "5 mins",
            "(1)",
        ] {
            assert_eq!(objection(value), None, "{value}");
        }
    }

    #[test]
    fn whatever_could_run_is_not() {
        for value in [
            "1; event zeek_init() { system(\"x\"); }",
            "1 # comment\n; global x = 1",
            "system(\"x\")",
            "{ system(\"x\") }",
            "(system)(\"x\")",
            "set(system(\"x\"))",
            "vector(system)(\"x\")",
            "function(): string { return \"x\"; }",
            "/a/",
            "1 &default=2",
            "1\n@load x",
            "@DIR",
            "\"not closed",
            "a ? b : c",
        ] {
            assert!(objection(value).is_some(), "{value}");
        }
    }
}
