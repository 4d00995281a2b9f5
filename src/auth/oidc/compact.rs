//! Reading a token strictly: what two readers could understand in two ways is not read at all.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Refused;
use super::algorithm::Algorithm;
use crate::model::json::Json;

/// Longest token in bytes, looked at before anything is parsed. Tokens with hundreds of groups
/// have some 8 KiB.
pub const MOST_BYTES: usize = 16 * 1024;

/// A token in JWS compact serialization (RFC 7515, section 7.1), taken apart and not yet believed.
#[derive(Debug)]
pub struct Compact<'a> {
    /// The algorithm that it names.
    pub algorithm: Algorithm,
    /// The key that it names.
    pub key_id: Option<String>,
    /// The payload.
    pub claims: Map<String, Value>,
    /// What is signed: header and payload as sent.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    /// The whole token as sent.
    pub text: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart: three parts of canonical base64url without padding, two JSON objects in
    /// which no name stands twice, an algorithm of ours, nothing critical.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn parse(text: &'a str) -> Result<Self, Refused> {
        if text.len() > MOST_BYTES {
            return Err(Refused("the token is too long"));
        }
        let [header, payload, signature] = three_parts(text)?;
        let signed = &text.as_bytes()[..header.len() + 1 + payload.len()];
        let header = object(&decoded(header)?)?;
        let (algorithm, key_id) = read_header(&header)?;
        Ok(Self {
            algorithm,
            key_id,
            claims: object(&decoded(payload)?)?,
            signed,
            signature: decoded(signature)?,
            text,
        })
    }
}

fn three_parts(text: &str) -> Result<[&str; 3], Refused> {
    let mut parts = text.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok([header, payload, signature]),
        _ => Err(Refused("the token has not three parts")),
    }
}

/// The engine refuses padding and bits that say nothing: each octet string has one spelling.
fn decoded(part: &str) -> Result<Vec<u8>, Refused> {
    BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Refused("a part is no canonical base64url"))
}

/// An object without any name twice, at any depth (RFC 7515, section 4; RFC 7519, section 4).
fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refused> {
    let json = Json::parse(bytes).map_err(|_| Refused("a part is no JSON"))?;
    match plain(json) {
        Some(Value::Object(members)) => Ok(members),
        Some(_) => Err(Refused("a part is no JSON object")),
        None => Err(Refused("a name stands twice")),
    }
}

fn plain(json: Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(value) => Value::Number(value),
        Json::Text(text) => Value::String(text.to_string()),
        Json::List(items) => Value::Array(items.into_iter().map(plain).collect::<Option<_>>()?),
        Json::Object(members) => {
            let mut object = Map::new();
            for (name, value) in members {
                if object.insert(name, plain(value)?).is_some() {
                    return None;
                }
            }
            Value::Object(object)
        }
        Json::Kept | Json::Removed => return None,
    })
}

/// `jwk`, `jku`, `x5c` and `x5u` are not even looked at: keys come from the provider alone.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Refused> {
    // No extension is understood here, so none may be critical (RFC 7515, section 4.1.11); `b64` would
    // change what is signed (RFC 7797).
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(Refused("the header names critical extensions"));
    }
    let algorithm = header.get("alg").and_then(Value::as_str);
    let algorithm = algorithm.and_then(|name| Algorithm::parse(name).ok());
    let algorithm = algorithm.ok_or(Refused("the algorithm is none of ours"))?;
    let is_token = match header.get("typ") {
        None => true,
        Some(Value::String(typ)) => is_token_type(typ),
        Some(_) => false,
    };
    if !is_token {
        return Err(Refused("the type is none of an identity or access token"));
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(key_id)) => Some(key_id.clone()),
        Some(_) => return Err(Refused("the key id is no text")),
    };
    Ok((algorithm, key_id))
}

/// Media types compare without case, and `application/` may be left out (RFC 7515, section 4.1.9). An
/// access token says `at+jwt` (RFC 9068); a logout token or a proof of possession says another type and
/// is no login.
fn is_token_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    matches!(typ, "jwt" | "at+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str, signature: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{signature}", encode(header), encode(payload))
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(
            r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#,
            r#"{"sub":"s"}"#,
            "AAAA",
        );
        let token = Compact::parse(&text).expect("a token");
        assert_eq!(token.algorithm, Algorithm::ES256);
        assert_eq!(token.key_id.as_deref(), Some("k"));
        assert_eq!(token.claims["sub"], "s");
        assert_eq!(token.signature, [0, 0, 0]);
        assert_eq!(token.signed.len(), text.len() - ".AAAA".len());
    }

    #[test]
    fn each_type_of_a_token_is_known_in_any_case() {
        for typ in [
            "JWT",
            "jwt",
            "at+jwt",
            "AT+JWT",
            "application/at+jwt",
            "Application/JWT",
        ] {
            assert!(is_token_type(typ), "{typ}");
        }
        for typ in ["", "logout+jwt", "dpop+jwt", "JOSE", "text/jwt", " jwt"] {
            assert!(!is_token_type(typ), "{typ}");
        }
    }

    #[test]
    fn odd_forms_are_refused() {
        let good = token(r#"{"alg":"RS256"}"#, "{}", "AA");
        assert!(Compact::parse(&good).is_ok());
        let odd = [
            String::new(),
            "..".into(),
            format!("{good}."),
            format!("{good}.x"),
            format!("{good}=="),
            good.replacen('.', "=.", 1),
            format!("{}B", &good[..good.len() - 1]),
            format!(" {good}"),
            token(r#"{"alg":"RS256","alg":"RS256"}"#, "{}", "AA"),
            token(r#"{"alg":"RS256","x":{"a":1,"a":1}}"#, "{}", "AA"),
            token(r#"{"alg":"RS256"}"#, r#"{"sub":"a","sub":"b"}"#, "AA"),
            token(r#"{"alg":"RS256"}"#, "[]", "AA"),
            token(r#"{"alg":"RS256"}"#, "{}{}", "AA"),
            token(r#"{"alg":"RS256"}"#, &"[".repeat(5000), "AA"),
            token(r#"{"alg":["RS256"]}"#, "{}", "AA"),
            token(r#"{"alg":"rs256"}"#, "{}", "AA"),
            token(r#"{"alg":"RS256","kid":7}"#, "{}", "AA"),
            token(r#"{"alg":"RS256","crit":[]}"#, "{}", "AA"),
            token(r#"{"alg":"RS256","b64":false}"#, "{}", "AA"),
            token(r#"{"alg":"RS256"}"#, "{}", &"A".repeat(MOST_BYTES)),
            ".".repeat(1_000_000),
        ];
        for text in odd {
            assert!(Compact::parse(&text).is_err(), "{text:.100}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = Compact::parse(&text);
        }
    }
}
