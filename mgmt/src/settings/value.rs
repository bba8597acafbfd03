//! Zeek constants as they stand on a command line or in an environment variable.

use std::time::Duration;

use broker_proto::{Port, Protocol};

/// A string, with or without quotes.
pub(super) fn string(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('"') {
        return Some(
            inner
                .strip_suffix('"')?
                .replace("\\\"", "\"")
                .replace("\\\\", "\\"),
        );
    }
    Some(text.to_owned())
}

/// `T` or `F`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "T" => Some(true),
        "F" => Some(false),
        _ => None,
    }
}

/// A TCP port; `None` for `0/unknown` and `0/tcp`, which switch a listener off.
pub(super) fn tcp_port(text: &str) -> Option<Option<u16>> {
    let port: Port = text.trim().parse().ok()?;
    match (port.number, port.protocol) {
        (0, Protocol::Tcp | Protocol::Unknown) => Some(None),
        (number, Protocol::Tcp) => Some(Some(number)),
        (_, Protocol::Unknown | Protocol::Udp | Protocol::Icmp) => None,
    }
}

/// An interval such as `10secs`, `1.5 min` or `500msec`; a bare number counts seconds.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = unit.trim();
    let unit = unit
        .strip_suffix('s')
        .filter(|singular| !singular.is_empty())
        .unwrap_or(unit);
    let factor = match unit {
        "usec" => 1e-6,
        "msec" => 1e-3,
        "" | "sec" => 1.0,
        "min" => 60.0,
        "hr" => 3600.0,
        "day" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
}

/// The fields of a record constructor such as `[$address="127.0.0.1", $bound_port=2150/tcp]`.
pub(super) fn record(text: &str) -> Option<Vec<(&str, &str)>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let fields = inner
        .split(',')
        .map(|field| field.trim().strip_prefix('$')?.split_once('='));
    fields
        .map(|field| field.map(|(name, value)| (name.trim(), value.trim())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_read_as_zeek_writes_them() {
        assert_eq!(string("\"a b\""), Some("a b".into()));
        assert_eq!(string("\"a"), None);
        assert_eq!(boolean("T"), Some(true));
        assert_eq!(boolean("true"), None);
        assert_eq!(tcp_port("2150/tcp"), Some(Some(2150)));
        assert_eq!(tcp_port("0/unknown"), Some(None));
        assert_eq!(tcp_port("2150"), None);
        assert_eq!(interval("10secs"), Some(Duration::from_secs(10)));
        assert_eq!(interval("1.5 min"), Some(Duration::from_secs(90)));
        assert_eq!(interval("500msec"), Some(Duration::from_millis(500)));
        assert_eq!(interval("-1sec"), None);
        assert_eq!(interval("soon"), None);
        let fields = record("[$address=\"::1\", $bound_port=2150/tcp]");
        assert_eq!(
            fields,
            Some(vec![("address", "\"::1\""), ("bound_port", "2150/tcp")])
        );
    }
}
