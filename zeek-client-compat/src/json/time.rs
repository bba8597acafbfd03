//! Timestamps and timespans as text, both ways.

use broker_proto::{Timespan, Timestamp};

const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;
const DAY_SECS: i64 = 86_400;

/// `YYYY-MM-DDThh:mm:ss.mmm` in UTC; what is below a millisecond is cut off.
pub(super) fn format_timestamp(time: Timestamp) -> String {
    let millis = time.0.div_euclid(MILLISECOND);
    let (secs, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (year, month, day) = civil_from_days(secs.div_euclid(DAY_SECS));
    let of_day = secs.rem_euclid(DAY_SECS);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// Reads `YYYY-MM-DDThh:mm:ss`, then optionally a fraction of up to nine digits, then optionally
/// `Z` or an offset such as `+01:30`. Without one, the time is UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let mut rest = Cursor(text);
    let year = rest.number(4)?;
    let month = rest.skip('-')?.number(2)?;
    let day = rest.skip('-')?.number(2)?;
    let hour = rest.skip('T')?.number(2)?;
    let minute = rest.skip(':')?.number(2)?;
    let second = rest.skip(':')?.number(2)?;
    let nanos = rest.fraction()?;
    let offset = rest.offset_secs()?;
    if !rest.0.is_empty() || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let secs = days * DAY_SECS + hour * 3600 + minute * 60 + second - offset;
    let nanos = i128::from(secs) * i128::from(SECOND) + i128::from(nanos);
    Some(Timestamp(i64::try_from(nanos).ok()?))
}

/// An integer and the largest of `ns`, `ms`, `s` that is exact. Not `us`: zeek-client refuses it.
pub(super) fn format_timespan(span: Timespan) -> String {
    let units = [("s", SECOND), ("ms", MILLISECOND)];
    let exact = units.into_iter().find(|(_, nanos)| span.0 % nanos == 0);
    let (name, nanos) = exact.unwrap_or(("ns", 1));
    format!("{}{name}", span.0 / nanos)
}

/// Reads an optional sign, a number that may have a fraction, and one of the units `ns`, `us`,
/// `ms`, `s`, `min`, `h`, `d`. What is below a nanosecond is cut off.
pub(super) fn parse_timespan(text: &str) -> Option<Timespan> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let unit = unit_nanos(unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A day has 14 digits of nanoseconds; further ones cannot count.
    let fraction = fraction.get(..14).unwrap_or(fraction);
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = i128::from(format!("0{fraction}").parse::<i64>().ok()?);
    let nanos = i128::from(whole) * unit + fraction * unit / scale;
    Some(Timespan(i64::try_from(sign * nanos).ok()?))
}

fn unit_nanos(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

/// What is left of a timestamp's text.
struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    fn skip(&mut self, c: char) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(c)?;
        Some(self)
    }

    /// Exactly `width` digits.
    fn number(&mut self, width: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(width)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        digits.parse().ok()
    }

    /// Nanoseconds of an optional fraction.
    fn fraction(&mut self) -> Option<i64> {
        let Some(rest) = self.0.strip_prefix('.') else {
            return Some(0);
        };
        let len = rest.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = rest.split_at(len.unwrap_or(rest.len()));
        if digits.len() > 9 {
            return None;
        }
        self.0 = rest;
        format!("{digits:0<9}").parse().ok()
    }

    /// Seconds east of UTC.
    fn offset_secs(&mut self) -> Option<i64> {
        if let Some(rest) = self.0.strip_prefix('Z') {
            self.0 = rest;
            return Some(0);
        }
        let sign = match self.0.chars().next() {
            None => return Some(0),
            Some('+') => 1,
            Some('-') => -1,
            Some(_) => return None,
        };
        self.0 = self.0.get(1..)?;
        let hours = self.number(2)?;
        let minutes = self.skip(':')?.number(2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are
/// counted from March so that the leap day comes last; 719468 days lead from 0000-03-01 to 1970.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_exist_only_in_leap_years() {
        let at = |text| parse_timestamp(text).map(|t| t.0 / SECOND);
        assert_eq!(at("2000-02-29T00:00:00"), Some(951_782_400));
        assert_eq!(at("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(at("1900-02-29T00:00:00"), None);
        assert_eq!(at("2023-02-29T00:00:00"), None);
        assert_eq!(at("2023-04-31T00:00:00"), None);
    }

    #[test]
    fn what_is_beyond_a_clock_or_behind_a_time_is_refused() {
        for text in [
            "2024-02-29T24:00:00",
            "2024-02-29T00:60:00",
            "2024-02-29T00:00:60",
            "2024-02-29T00:00:00+24:00",
            "2024-02-29T00:00:00+00:60",
            "2024-02-29T00:00:00Zz",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        let east = parse_timestamp("2024-03-01T23:58:59+23:59");
        assert_eq!(east, parse_timestamp("2024-02-29T23:59:59Z"));
    }

    #[test]
    fn every_day_of_the_range_converts_back() {
        for day in -106_752..=106_751 {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        assert_eq!(
            format_timestamp(Timestamp(i64::MAX)),
            "2262-04-11T23:47:16.854"
        );
        assert_eq!(
            format_timestamp(Timestamp(i64::MIN)),
            "1677-09-21T00:12:43.145"
        );
        let last = parse_timestamp("2262-04-11T23:47:16.854775807");
        assert_eq!(last, Some(Timestamp(i64::MAX)));
        assert_eq!(parse_timestamp("2262-04-11T23:47:16.854775808"), None);
        let first = parse_timestamp("1677-09-21T00:12:43.145224192");
        assert_eq!(first, Some(Timestamp(i64::MIN)));
    }
}
