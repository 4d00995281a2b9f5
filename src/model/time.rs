//! Points in time as the API writes them: RFC 3339, UTC, to the microsecond that PostgreSQL keeps.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

use super::mistake::Fault;

/// Reads an RFC 3339 time, any offset, and turns it into UTC.
///
/// # Errors
/// `invalid-time` with the form that is expected.
pub fn parse(text: &str) -> Result<OffsetDateTime, Fault> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .filter(|time| (1970..10_000).contains(&time.year()))
        .and_then(|time| time.checked_to_offset(UtcOffset::UTC))
        .map(to_microseconds)
        .ok_or_else(|| {
            Fault::new(
                "invalid-time",
                "expected an RFC 3339 time such as 2027-01-01T00:00:00Z",
            )
        })
}

/// Drops what PostgreSQL would drop, so that a value reads back as it was written.
#[must_use]
pub fn to_microseconds(time: OffsetDateTime) -> OffsetDateTime {
    let microsecond = time.microsecond();
    time.replace_microsecond(microsecond).unwrap_or(time)
}

/// Writes a time as RFC 3339.
pub fn format(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// The longest times that settings and flags take.
pub const YEAR: Duration = Duration::days(366);
/// Ten of them.
pub const DECADE: Duration = Duration::days(10 * 366);
/// A hundred of them.
pub const CENTURY: Duration = Duration::days(100 * 366);

/// What is said where [`parse_duration`] finds none.
pub const EXPECTED_DURATION: &str = "expected a time such as 90s, 30m, 1h or 7d";

/// Reads a whole number and a unit: s, m, h or d, at least a second and at most `longest`.
pub fn parse_duration(text: &str, longest: Duration) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let number: u32 = text[..text.len() - 1].parse().ok()?;
    let duration = Duration::seconds(i64::from(number) * unit);
    (Duration::SECOND..=longest)
        .contains(&duration)
        .then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_utc() {
        let time = parse("2027-01-01T02:00:00.1234567+02:00").expect("a valid time");
        assert_eq!(format(time), "2027-01-01T00:00:00.123456Z");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2027-01-01",
            "tomorrow",
            "2027-13-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "2027-01-01T00:00:00",
        ] {
            assert_eq!(parse(text).expect_err(text).code, "invalid-time");
        }
    }
}
