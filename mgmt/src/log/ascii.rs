//! Lines as Zeek's ASCII log writer lays them out, byte for byte (API §8.4).
//!
//! Zeek: `logging/writers/ascii/Ascii.cc`, `threading/formatters/{Ascii,JSON}.cc`, and for what is
//! escaped `ODesc::AddBytes` and `util::json_escape_utf8`, with `LogAscii::enable_utf_8` on, as it
//! is by default.

use std::fmt::Write;
use std::str;

use broker_proto::Timestamp;

use super::{LogRole, Record};

const SECOND: i64 = 1_000_000_000;
const DAY_SECS: i64 = 86_400;

/// A point in time as a clock on the wall of this host shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalTime {
    /// Seconds since 1970-01-01 UTC.
    pub secs: i64,
    /// How many seconds the clock is ahead of UTC.
    pub offset: i32,
}

impl LocalTime {
    /// `YYYY-mm-dd-HH-MM-SS`, as in headers and in the names of rotated files.
    pub fn text(self) -> String {
        let [date, time] = self.parts('-');
        format!("{date}-{time}")
    }

    /// The date, and the time of day with this between its numbers.
    fn parts(self, between: char) -> [String; 2] {
        let secs = self.secs.saturating_add(self.offset.into());
        let (year, month, day) = civil_from_days(secs.div_euclid(DAY_SECS));
        let of_day = secs.rem_euclid(DAY_SECS);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        [
            format!("{year:04}-{month:02}-{day:02}"),
            format!("{hour:02}{between}{minute:02}{between}{second:02}"),
        ]
    }
}

/// A time as RFC 3339 has it, in UTC and with microseconds.
pub fn utc(at: Timestamp) -> String {
    let (secs, offset) = (at.0.div_euclid(SECOND), 0);
    let [date, time] = LocalTime { secs, offset }.parts(':');
    let micros = at.0.rem_euclid(SECOND) / 1000;
    format!("{date}T{time}.{micros:06}Z")
}

/// The log's path, which is its file name without the extension.
pub fn log_path(node: &str) -> String {
    format!("management-{node}")
}

/// A rotated file's name, without the extension (API §8.3).
pub fn rotated_name(path: &str, open: LocalTime, close: LocalTime) -> String {
    format!("{path}__{}__{}__", open.text(), close.text())
}

/// The lines before the first record.
pub fn header(path: &str, open: LocalTime) -> Vec<u8> {
    let mut out = b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n".to_vec();
    out.extend_from_slice(b"#unset_field\t-\n#path\t");
    for byte in path.bytes() {
        put_unless(&mut out, byte, |b| b.is_ascii_graphic());
    }
    out.extend_from_slice(format!("\n#open\t{}\n", open.text()).as_bytes());
    out.extend_from_slice(b"#fields\tts\tnode\tlevel\trole\tmessage\n");
    out.extend_from_slice(b"#types\ttime\tstring\tstring\tstring\tstring\n");
    out
}

/// The last line.
pub fn footer(close: LocalTime) -> Vec<u8> {
    format!("#close\t{}\n", close.text()).into_bytes()
}

/// One record as a line of columns.
pub fn line(at: Timestamp, node: &str, role: LogRole, record: &Record) -> Vec<u8> {
    let mut out = seconds(at).into_bytes();
    let columns = [
        node,
        record.level.as_str(),
        role.as_str(),
        record.message.as_str(),
    ];
    for column in columns {
        out.push(b'\t');
        put_column(&mut out, column);
    }
    out.push(b'\n');
    out
}

/// One record as a JSON object.
pub fn json_line(at: Timestamp, node: &str, role: LogRole, record: &Record) -> Vec<u8> {
    let seconds = seconds(at);
    let mut number = seconds.trim_end_matches('0').to_owned();
    if number.ends_with('.') {
        number.push('0');
    }
    let mut out = format!("{{\"ts\":{number}").into_bytes();
    let columns = [
        ("node", node),
        ("level", record.level.as_str()),
        ("role", role.as_str()),
        ("message", record.message.as_str()),
    ];
    for (name, value) in columns {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        put_json(&mut out, value);
    }
    out.extend_from_slice(b"}\n");
    out
}

/// Seconds with all six digits of the microseconds.
fn seconds(at: Timestamp) -> String {
    let micros = at.0.rem_euclid(SECOND) / 1000;
    format!("{}.{micros:06}", at.0.div_euclid(SECOND))
}

/// A string column: what would read as a mark or end the column is escaped.
fn put_column(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        out.extend_from_slice(b"(empty)");
        return;
    }
    if text == "-" || text == "(empty)" {
        let mut bytes = text.bytes();
        bytes.next().into_iter().for_each(|b| put_hex(out, b));
        out.extend(bytes);
        return;
    }
    // Zeek looks at the pieces between separators and backslashes one by one.
    let mut rest = text;
    while let Some(at) = rest.find(['\t', '\\']) {
        let (piece, tail) = rest.split_at(at);
        put_text(out, piece, |_| false);
        let (special, tail) = tail.split_at(1);
        let escaped: &[u8] = if special == "\t" { b"\\x09" } else { b"\\\\" };
        out.extend_from_slice(escaped);
        rest = tail;
    }
    put_text(out, rest, |_| false);
}

/// A JSON string.
fn put_json(out: &mut Vec<u8>, text: &str) {
    let mut escaped = Vec::new();
    put_text(&mut escaped, text, |c| {
        matches!(c, '\x08' | '\x0c' | '\n' | '\r' | '\t')
    });
    out.push(b'"');
    for byte in escaped {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Text as it is if all of it can be shown; else only its ASCII, and the other bytes in hex.
fn put_text(out: &mut Vec<u8>, text: &str, is_allowed: impl Fn(char) -> bool) {
    if text.chars().all(|c| is_shown(c) || is_allowed(c)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        put_unless(out, byte, |b| {
            matches!(b, b' '..=b'~') || (b.is_ascii() && is_allowed(char::from(b)))
        });
    }
}

/// Control characters, private use and specials are not shown (Zeek: `check_ok_utf8`).
fn is_shown(c: char) -> bool {
    !matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
}

fn put_unless(out: &mut Vec<u8>, byte: u8, is_plain: impl Fn(u8) -> bool) {
    if is_plain(byte) {
        out.push(byte);
    } else {
        put_hex(out, byte);
    }
}

fn put_hex(out: &mut Vec<u8>, byte: u8) {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "\\x{byte:02x}");
    out.extend_from_slice(text.as_bytes());
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is the last of its year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year_of_era + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    /// 2026-11-21 19:33:26 UTC, the recorded controller's start.
    const OPEN: LocalTime = LocalTime {
        secs: 1_795_289_606,
        offset: 0,
    };

    /// The recording's own first lines.
    const RECORDED: &str =
        include_str!("../../../tests/transcripts/a2c/state/management-controller.log");

    #[test]
    fn header_and_first_line_are_the_recorded_ones() {
        let mut ours = header(&log_path("controller"), OPEN);
        let message = "controller is live, Broker ID fc96b53a-0eb6-5e68-9f51-a8644bfb3908, \
                       Broker port 0.0.0.0:2150/tcp, websocket port 0.0.0.0:2149/tcp";
        let at = Timestamp(1_795_289_606_630_231_000);
        let record = Record::info(message);
        ours.extend(line(at, "controller", LogRole::Controller, &record));
        let recorded: String = RECORDED.split_inclusive('\n').take(9).collect();
        assert_eq!(String::from_utf8(ours).unwrap(), recorded);
    }

    #[test]
    fn times_are_those_of_the_clock_on_the_wall() {
        let text = |secs, offset| LocalTime { secs, offset }.text();
        assert_eq!(text(1_795_289_606, 0), "2026-11-21-19-33-26");
        assert_eq!(text(1_795_289_606, 19_800), "2026-11-22-01-03-26");
        assert_eq!(text(0, -3600), "1969-12-31-23-00-00");
        assert_eq!(text(951_782_400, 0), "2000-02-29-00-00-00");
        let close = LocalTime {
            secs: 1_795_291_200,
            offset: 0,
        };
        assert_eq!(
            rotated_name("management-controller", OPEN, close),
            "management-controller__2026-11-21-19-33-26__2026-11-21-20-00-00__"
        );
        assert_eq!(footer(close), b"#close\t2026-11-21-20-00-00\n");
    }

    /// The pairs are those of Zeek's `scripts.base.frameworks.logging.ascii-escape*` tests and of
    /// the test of `json_escape_utf8`, or follow from `ODesc::AddBytes`.
    #[test]
    fn columns_are_escaped_as_zeek_escapes_them() {
        let cases: [(&str, &str); 12] = [
            ("", "(empty)"),
            ("-", "\\x2d"),
            ("(empty)", "\\x28empty)"),
            ("a - b", "a - b"),
            ("a\tb", "a\\x09b"),
            ("a\\b", "a\\\\b"),
            ("a\nb", "a\\x0ab"),
            ("ñ ₡ 𐌼", "ñ ₡ 𐌼"),
            // One bad character spoils its piece, and only that.
            ("ñ\x07", "\\xc3\\xb1\\x07"),
            ("ñ\\\x07", "ñ\\\\\\x07"),
            ("\u{e2e0}", "\\xee\\x8b\\xa0"),
            ("\u{85}\u{fffd}", "\\xc2\\x85\\xef\\xbf\\xbd"),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            put_column(&mut out, text);
            assert_eq!(str::from_utf8(&out), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn json_is_what_zeeks_formatter_writes() {
        let json = |at, message: &str| {
            let record = Record::new(Level::Warning, message.to_owned());
            let line = json_line(Timestamp(at), "a", LogRole::Agent, &record);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(
            json(1_795_289_606_630_231_000, "rx \"x\"\n\x07"),
            "{\"ts\":1795289606.630231,\"node\":\"a\",\"level\":\"WARNING\",\"role\":\"AGENT\",\
             \"message\":\"rx \\\"x\\\"\\n\\\\x07\"}\n"
        );
        assert!(json(1_500_000_000, "").starts_with("{\"ts\":1.5,"));
        assert!(json(2_000_000_000, "").starts_with("{\"ts\":2.0,"));
        assert!(json(0, "a\\b").ends_with("\"message\":\"a\\\\b\"}\n"));
    }

    #[test]
    fn a_path_cannot_break_the_header() {
        let header = header("management-a b\n#open\té", OPEN);
        let header = String::from_utf8(header).unwrap();
        assert!(header.contains("#path\tmanagement-a\\x20b\\x0a#open\\x09\\xc3\\xa9\n"));
    }
}
