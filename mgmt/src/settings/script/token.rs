//! Zeek's words (stock: `scan.l`).

use broker_proto::{Port, Protocol};

/// One word of a script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name, `::` included, or a keyword.
    Name(&'a str),
    /// A string, its escapes resolved.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number with a point or an exponent.
    Double(f64),
    /// A number with a unit of time, in seconds.
    Interval(f64),
    /// A number with a protocol.
    Port(Port),
    /// An IP address or a subnet.
    Address(&'a str),
    /// A regular expression.
    Pattern,
    /// `@load` and its like, with what it is about: a file, a condition or a line.
    Directive { name: &'a str, rest: &'a str },
    /// `&redef` and its like.
    Attribute(&'a str),
    /// `@DIR`, the directory of the file.
    Directory,
    /// An operator or a bracket.
    Sign(&'a str),
    /// What has no place in a value, and why.
    Bad(String),
    /// The rest cannot be read rightly, and why.
    Broken(String),
}

/// Cuts a text into words, one at a time.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    /// Whether a `/` would divide, because an operand stands before it.
    operand: bool,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            operand: false,
        }
    }

    /// The next word and the line it starts in.
    pub(super) fn next(&mut self) -> Option<(Token<'a>, usize)> {
        self.skip_blanks();
        let line = self.line;
        let first = self.rest().chars().next()?;
        let token = match first {
            '"' => self.text(),
            '@' => self.directive(),
            '&' => self.attribute(),
            '/' if !self.operand => self.pattern(),
            '[' => self.bracket(),
            c if c.is_ascii_digit() => self.number(),
            c if c == '_' || c.is_ascii_alphabetic() => self.name(),
            ':' if self.starts_global_name() => self.name(),
            _ => self.sign(first),
        };
        self.operand = match &token {
            Token::Name(name) => !matches!(*name, "return" | "in" | "print" | "case"),
            Token::Sign(sign) => matches!(*sign, ")" | "]" | "}" | "|"),
            Token::Attribute(_) | Token::Directive { .. } => false,
            Token::Text(_)
            | Token::Count(_)
            | Token::Double(_)
            | Token::Interval(_)
            | Token::Port(_)
            | Token::Address(_)
            | Token::Pattern
            | Token::Directory
            | Token::Bad(_)
            | Token::Broken(_) => true,
        };
        Some((token, line))
    }

    /// Steps over everything up to the `@endif` of the `@if` that was just read, nested ones
    /// included; from an `@else` on likewise. Returns what was stepped over, or `None` if the
    /// block does not end.
    pub(super) fn skip_conditional(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut depth = 1_usize;
        while !self.rest().is_empty() {
            let line = self.take_line();
            for word in directives(line) {
                match word {
                    "if" | "ifdef" | "ifndef" => depth += 1,
                    "endif" => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return self.text.get(start..self.at);
                }
            }
        }
        None
    }

    /// The text from here on.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// How far into the text the next word may start, in bytes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The text since a former position.
    pub(super) fn since(&self, position: usize) -> &'a str {
        self.text.get(position..self.at).unwrap_or_default()
    }

    /// The rest of the line with its end, if it has one.
    fn take_line(&mut self) -> &'a str {
        let rest = self.rest();
        let len = rest.find('\n').map_or(rest.len(), |at| at + 1);
        self.take(len)
    }

    /// The next `len` bytes.
    fn take(&mut self, len: usize) -> &'a str {
        let taken = self.rest().get(..len).unwrap_or_default();
        self.line += taken.matches('\n').count();
        self.at += taken.len();
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.take(len)
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest().starts_with('#') {
                return;
            }
            self.take_line();
        }
    }

    fn name(&mut self) -> Token<'a> {
        let rest = self.rest();
        let mut len = 0;
        loop {
            let part = rest.get(len..).unwrap_or_default();
            let word = part.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
            len += word.unwrap_or(part.len());
            let after = rest.get(len..).unwrap_or_default();
            let joined = after.strip_prefix("::").is_some_and(starts_name);
            if !joined {
                break;
            }
            len += 2;
        }
        Token::Name(self.take(len))
    }

    fn starts_global_name(&self) -> bool {
        self.rest().strip_prefix("::").is_some_and(starts_name)
    }

    fn text(&mut self) -> Token<'a> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '\n' || (c == '"' && !escaped);
            escaped = c == '\\' && !escaped;
            ends
        });
        match end {
            Some((at, '"')) => {
                let inner = self.take(at + 1).get(1..at).unwrap_or_default();
                unescape(inner).map_or_else(Token::Bad, Token::Text)
            }
            Some((at, _)) => {
                self.take(at);
                Token::Broken("the string does not end in its line".to_owned())
            }
            None => {
                self.take(rest.len());
                Token::Broken("the string does not end".to_owned())
            }
        }
    }

    fn directive(&mut self) -> Token<'a> {
        self.take(1);
        let name = self.take_while(|c| c == '-' || c == '_' || c.is_ascii_alphanumeric());
        match name {
            "DIR" => Token::Directory,
            "FILENAME" => Token::Bad("@FILENAME is not known here".to_owned()),
            "if" | "ifdef" | "ifndef" => {
                let rest = self.condition();
                Token::Directive { name, rest }
            }
            "load" | "load-sigs" | "load-plugin" | "unload" => {
                self.take_while(|c| c == ' ' || c == '\t');
                let rest = self.take_while(|c| !c.is_whitespace());
                Token::Directive { name, rest }
            }
            "deprecated" | "pragma" | "prefixes" => {
                let rest = self.take_while(|c| c != '\n').trim();
                Token::Directive { name, rest }
            }
            _ => Token::Directive { name, rest: "" },
        }
    }

    /// What stands in brackets behind an `@if`, in several lines or not.
    fn condition(&mut self) -> &'a str {
        self.take_while(char::is_whitespace);
        let mut depth = 0_usize;
        let mut quoted = false;
        let end = self.rest().char_indices().find(|&(_, c)| {
            match c {
                '"' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 || c == '@'
        });
        match end {
            Some((at, ')')) => self.take(at + 1),
            // No condition; whoever reads on will find fault with it.
            _ => "",
        }
    }

    fn attribute(&mut self) -> Token<'a> {
        if self.rest().starts_with("&&") {
            return Token::Sign(self.take(2));
        }
        let start = self.at;
        self.take(1);
        self.take_while(|c| c == '_' || c.is_ascii_alphanumeric());
        let word = self.since(start);
        if word.len() == 1 {
            return Token::Sign(word);
        }
        Token::Attribute(word)
    }

    fn pattern(&mut self) -> Token<'a> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '\n' || (c == '/' && !escaped);
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some((at, '/')) = end else {
            return Token::Sign(self.take(1));
        };
        self.take(at + 1);
        self.take_while(|c| c == 'i' || c == 's');
        Token::Pattern
    }

    /// `[` opens a list or is part of an IPv6 address.
    fn bracket(&mut self) -> Token<'a> {
        let rest = self.rest();
        let inner = rest.get(1..).unwrap_or_default();
        let len = inner.find(|c: char| c != ':' && c != '.' && !c.is_ascii_hexdigit());
        let inner = inner.get(..len.unwrap_or(inner.len())).unwrap_or_default();
        let closed = rest.get(inner.len() + 1..).unwrap_or_default();
        let is_address = closed.starts_with(']') && inner.parse::<std::net::Ipv6Addr>().is_ok();
        if !is_address {
            return Token::Sign(self.take(1));
        }
        self.take(inner.len() + 2);
        Token::Address(inner)
    }

    fn number(&mut self) -> Token<'a> {
        let rest = self.rest();
        if let Some(digits) = rest.strip_prefix("0x") {
            let len = digits.find(|c: char| !c.is_ascii_hexdigit());
            let len = len.unwrap_or(digits.len());
            let text = self.take(len + 2).get(2..).unwrap_or_default();
            let number = u64::from_str_radix(text, 16).map(Token::Count);
            return number.unwrap_or_else(|_| Token::Bad(format!("0x{text} is no number")));
        }
        let dotted = self.take_while(|c| c == '.' || c.is_ascii_digit());
        if dotted.parse::<std::net::Ipv4Addr>().is_ok() {
            return Token::Address(dotted);
        }
        if let Some(protocol) = self.protocol() {
            return port(dotted, protocol);
        }
        let start = self.at - dotted.len();
        self.exponent();
        let number = self.since(start);
        let whole = !number.contains(['.', 'e', 'E']);
        let value = number.parse::<f64>();
        let Ok(value) = value else {
            return Token::Bad(format!("{number} is no number"));
        };
        if let Some(unit) = self.unit() {
            return Token::Interval(value * unit);
        }
        if !whole {
            return Token::Double(value);
        }
        let count = number.parse().map(Token::Count);
        count.unwrap_or_else(|_| Token::Bad(format!("{number} is too large")))
    }

    fn protocol(&mut self) -> Option<Protocol> {
        let word = self.rest().strip_prefix('/')?;
        let known = [
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Icmp,
            Protocol::Unknown,
        ];
        let fits = |protocol: &Protocol| {
            let after = word.strip_prefix(protocol.name());
            after.is_some_and(|after| !starts_name(after))
        };
        let protocol = known.into_iter().find(fits)?;
        self.take(protocol.name().len() + 1);
        Some(protocol)
    }

    fn exponent(&mut self) {
        let rest = self.rest();
        let Some(after) = rest.strip_prefix(['e', 'E']) else {
            return;
        };
        let digits = after.strip_prefix(['+', '-']).unwrap_or(after);
        let len = digits.find(|c: char| !c.is_ascii_digit());
        let len = len.unwrap_or(digits.len());
        if len > 0 {
            self.take(rest.len() - digits.len() + len);
        }
    }

    /// A unit of time after a number, blanks between them or not; its length in seconds.
    fn unit(&mut self) -> Option<f64> {
        let rest = self.rest();
        let word = rest.trim_start_matches([' ', '\t']);
        let blanks = rest.len() - word.len();
        let len = word.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        let word = word.get(..len.unwrap_or(word.len()))?;
        let singular = word.strip_suffix('s').unwrap_or(word);
        let seconds = match singular {
            "usec" => 1e-6,
            "msec" => 1e-3,
            "sec" => 1.0,
            "min" => 60.0,
            "hr" => 3600.0,
            "day" => 86400.0,
            _ => return None,
        };
        self.take(blanks + word.len());
        Some(seconds)
    }

    fn sign(&mut self, first: char) -> Token<'a> {
        const LONG: [&str; 11] = [
            "+=", "-=", "==", "!=", ">=", "<=", "||", "++", "--", "?$", "::",
        ];
        let long = LONG.iter().find(|sign| self.rest().starts_with(*sign));
        let len = long.map_or_else(|| first.len_utf8(), |sign| sign.len());
        Token::Sign(self.take(len))
    }
}

fn starts_name(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
}

fn port<'a>(number: &str, protocol: Protocol) -> Token<'a> {
    match number.parse() {
        Ok(number) => Token::Port(Port { number, protocol }),
        Err(_) => {
            let name = protocol.name();
            Token::Bad(format!("{number}/{name} is no port, the highest is 65535"))
        }
    }
}

/// The names of directives in a line, those in comments and strings aside.
fn directives(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let mut comment = false;
    line.char_indices().filter_map(move |(at, c)| {
        comment |= c == '#' && !quoted;
        let found = c == '@' && !quoted && !comment;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        let rest = found.then(|| line.get(at + 1..))??;
        rest.split(|c: char| !c.is_ascii_alphanumeric()).next()
    })
}

/// Stock: util.cc, `expand_escape`.
fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let Some(escape) = rest.next() else {
            break;
        };
        match escape {
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'a' => bytes.push(7),
            'v' => bytes.push(11),
            '0'..='7' => bytes.push(number(&mut rest, Some(escape), 8, 3)?),
            'x' => bytes.push(number(&mut rest, None, 16, 2)?),
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(bytes).map_err(|_| "the string is not UTF-8".to_owned())
}

/// Up to `most` digits, the first of which may have been read already.
fn number(
    rest: &mut std::str::Chars<'_>,
    first: Option<char>,
    radix: u32,
    most: usize,
) -> Result<u8, String> {
    let mut digits: String = first.into_iter().collect();
    while digits.len() < most {
        let Some(digit) = rest.clone().next().filter(|c| c.is_digit(radix)) else {
            break;
        };
        digits.push(digit);
        rest.next();
    }
    u8::from_str_radix(&digits, radix).map_err(|_| format!("\\{digits} is no character"))
}
