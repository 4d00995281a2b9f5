//! The registered claims (RFC 7519, section 4.1), checked against a provider and the time.

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::Refused;

/// How far an issuer's clock may be ahead of ours.
const LEEWAY_BEFORE: Duration = Duration::seconds(30);
/// How long a token is taken after its end. Clients renew before it; this is for clocks alone.
const LEEWAY_AFTER: Duration = Duration::seconds(5);
/// Longest issuer or subject in bytes.
const MOST_BYTES: usize = 2048;

/// The claims that every token needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// `iss`, as sent.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`, one or several.
    pub audiences: Vec<String>,
    /// `exp`.
    pub expires_at: OffsetDateTime,
}

impl Registered {
    /// Reads the claims and checks the times: `exp` must be there, `nbf` and `iat` may not lie ahead.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn read(claims: &Map<String, Value>, now: OffsetDateTime) -> Result<Self, Refused> {
        let expires_at = time_of(claims, "exp")?.ok_or(Refused("the token has no end"))?;
        if expires_at + LEEWAY_AFTER <= now {
            return Err(Refused("the token has ended"));
        }
        for name in ["nbf", "iat"] {
            if time_of(claims, name)?.is_some_and(|time| time > now + LEEWAY_BEFORE) {
                return Err(Refused("the token is not valid yet"));
            }
        }
        Ok(Self {
            issuer: text_of(claims, "iss")?,
            subject: text_of(claims, "sub")?,
            audiences: audiences_of(claims)?,
            expires_at,
        })
    }

    /// Whether the token is meant for one of these audiences.
    pub fn is_for(&self, accepted: &[String]) -> bool {
        self.audiences
            .iter()
            .any(|audience| accepted.contains(audience))
    }
}

/// Control characters stand in no issuer or subject, and PostgreSQL takes no NUL.
fn text_of(claims: &Map<String, Value>, name: &str) -> Result<String, Refused> {
    let text = claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() || text.len() > MOST_BYTES || text.chars().any(char::is_control) {
        return Err(Refused("the issuer or the subject is missing or no name"));
    }
    Ok(text.to_owned())
}

fn audiences_of(claims: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let refused = Refused("the audience is missing or no text");
    match claims.get("aud") {
        Some(Value::String(audience)) => Ok(vec![audience.clone()]),
        Some(Value::Array(items)) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or(refused)
        }
        _ => Err(refused),
    }
}

/// A `NumericDate` (RFC 7519, section 2): a JSON number, never a text.
fn time_of(claims: &Map<String, Value>, name: &str) -> Result<Option<OffsetDateTime>, Refused> {
    let refused = Refused("a time is no number of seconds");
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().ok_or(refused)?;
    // Whole seconds below 2^53 are exact; beyond the year 9999 there is no time to compare with.
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return Err(refused);
    }
    let time = OffsetDateTime::from_unix_timestamp(seconds.floor() as i64).map_err(|_| refused)?;
    Ok(Some(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    fn read(change: &[(&str, Value)]) -> Result<Registered, Refused> {
        let mut claims =
            json!({"iss": "https://i", "sub": "s", "aud": "regcred", "exp": NOW + 600});
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        let now = OffsetDateTime::from_unix_timestamp(NOW).expect("a time");
        Registered::read(claims.as_object().expect("an object"), now)
    }

    #[test]
    fn times_have_a_small_leeway() {
        assert!(read(&[("exp", json!(NOW - 4))]).is_ok());
        assert!(read(&[("exp", json!(NOW - 5))]).is_err());
        for name in ["nbf", "iat"] {
            assert!(read(&[(name, json!(NOW + 30))]).is_ok());
            assert!(read(&[(name, json!(NOW + 31))]).is_err());
        }
        assert!(
            read(&[
                ("exp", json!(NOW as f64 + 0.5)),
                ("iat", json!(NOW as f64 - 0.5))
            ])
            .is_ok()
        );
    }

    #[test]
    fn odd_claims_are_refused() {
        for (name, value) in [
            ("exp", Value::Null),
            ("exp", json!((NOW + 600).to_string())),
            ("exp", json!([NOW + 600])),
            ("exp", json!(true)),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("exp", json!(u64::MAX)),
            ("nbf", json!("0")),
            ("nbf", Value::Null),
            ("iat", json!({})),
            ("iss", json!("")),
            ("iss", json!(["https://i"])),
            ("iss", json!("https://i\0")),
            ("sub", Value::Null),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("sub", json!("a\u{0}b")),
            ("sub", json!("s".repeat(3000))),
            ("aud", Value::Null),
            ("aud", json!(7)),
            ("aud", json!(["regcred", 7])),
            ("aud", json!({"regcred": true})),
        ] {
            assert!(read(&[(name, value.clone())]).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn the_audience_is_one_or_several() {
        let accepted = ["regcred".to_owned()];
        for (audience, expected) in [
            (json!("regcred"), true),
            (json!(["x", "regcred"]), true),
            (json!("regcred2"), false),
            (json!("Regcred"), false),
            (json!([]), false),
        ] {
            let claims = read(&[("aud", audience.clone())]).expect("well formed");
            assert_eq!(claims.is_for(&accepted), expected, "{audience}");
        }
    }
}
