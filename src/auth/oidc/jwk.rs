//! An issuer's public keys (RFC 7517, RFC 7518 section 6, RFC 8037).

use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;

use super::algorithm::{Algorithm, Scheme};
use super::compact::Compact;

/// Most keys that are taken of one set.
const MOST_KEYS: usize = 100;
/// Most keys that are tried for a token that names none; each try costs time.
const MOST_TRIES: usize = 8;
/// How far clocks may be apart, in seconds, for the library. The claims are read with less leeway before (`claims.rs`).
const LEEWAY: u64 = 30;
/// RSA moduli in bytes: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// What a token must say to be taken, beside being signed.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// One of them is `aud`.
    pub audiences: &'a [String],
}

/// The keys of an issuer that check signatures; others of its set are left out.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, if the issuer says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Curve { name: &'static str, point: Vec<u8> },
}

/// Curves, the bytes of a coordinate, and whether there are two of them.
const CURVES: [(&str, &str, usize); 4] = [
    ("EC", "P-256", 32),
    ("EC", "P-384", 48),
    ("EC", "P-521", 66),
    ("OKP", "Ed25519", 32),
];

impl KeySet {
    /// Reads a JWK Set.
    ///
    /// # Errors
    /// What is wrong, if it is no key set. A set without a usable key is one: the issuer has withdrawn what it had.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(document).map_err(|_| "the key set is no JSON".to_owned())?;
        let keys = document["keys"].as_array();
        let keys = keys.ok_or_else(|| "the key set has no keys".to_owned())?;
        let usable: Vec<Key> = keys.iter().filter_map(key).take(MOST_KEYS).collect();
        Ok(Self(usable))
    }

    /// Whether the set has the very key that the token names.
    pub fn names_the_key_of(&self, token: &Compact<'_>) -> bool {
        let mut keys = self.0.iter();
        token.key_id.is_some()
            && keys.any(|key| key.id == token.key_id && key.fits(token.algorithm))
    }

    /// Whether a key of the set made the token's signature, over claims that are as expected. A token that names a key is checked with
    /// that one; keys without a name are tried where there is none of the name.
    pub fn verifies(&self, token: &Compact<'_>, expected: Expected<'_>) -> bool {
        let fitting = || self.0.iter().filter(|key| key.fits(token.algorithm));
        if self.names_the_key_of(token) {
            return fitting()
                .filter(|key| key.id == token.key_id)
                .any(|key| key.verifies(token, expected));
        }
        fitting()
            .filter(|key| token.key_id.is_none() || key.id.is_none())
            .take(MOST_TRIES)
            .any(|key| key.verifies(token, expected))
    }
}

impl Key {
    /// The algorithm must be the key's own, and of its type and curve (RFC 8725, section 3.1).
    fn fits(&self, algorithm: Algorithm) -> bool {
        let of_its_type = match (algorithm.scheme(), &self.material) {
            (Scheme::Rsa(_), Material::Rsa { .. }) => true,
            (Scheme::Curve(wanted, _), Material::Curve { name, .. }) => wanted == *name,
            _ => false,
        };
        of_its_type && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// The library checks signature, times, issuer and audience of a token that was read strictly before. It knows no
    /// ES512: of that AWS-LC checks the signature, and the claims were checked when they were read.
    fn verifies(&self, token: &Compact<'_>, expected: Expected<'_>) -> bool {
        match token.algorithm.of_library() {
            Some(algorithm) => self.material.for_library().is_some_and(|key| {
                let validation = validation(algorithm, expected);
                jsonwebtoken::decode::<Value>(token.text, &key, &validation).is_ok()
            }),
            None => match (token.algorithm.scheme(), &self.material) {
                (Scheme::Curve(_, algorithm), Material::Curve { point, .. }) => {
                    let key = UnparsedPublicKey::new(algorithm, point);
                    key.verify(token.signed, &token.signature).is_ok()
                }
                _ => false,
            },
        }
    }
}

impl Material {
    /// The key for the library.
    fn for_library(&self) -> Option<DecodingKey> {
        match self {
            Self::Rsa { modulus, exponent } => {
                Some(DecodingKey::from_rsa_raw_components(modulus, exponent))
            }
            Self::Curve { name, point } if *name == "Ed25519" => {
                let x = BASE64_URL_SAFE_NO_PAD.encode(point);
                DecodingKey::from_ed_components(&x).ok()
            }
            Self::Curve { point, .. } => {
                // The first byte says that both coordinates follow.
                let (x, y) = point.get(1..)?.split_at(point.len() / 2);
                let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
                DecodingKey::from_ec_components(&x, &y).ok()
            }
        }
    }
}

fn validation(algorithm: jsonwebtoken::Algorithm, expected: Expected<'_>) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(expected.audiences);
    validation
}

/// A key that checks signatures; none for keys of other uses and kinds, symmetric ones above all.
fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let for_signatures = value.get("use").is_none_or(|used| used == "sig");
    let verifies = value.get("key_ops").is_none_or(|operations| {
        let operations = operations.as_array();
        operations.is_some_and(|operations| operations.iter().any(|one| one == "verify"))
    });
    if !for_signatures || !verifies {
        return None;
    }
    let algorithm = match value.get("alg") {
        None => None,
        Some(name) => Some(Algorithm::parse(name.as_str()?).ok()?),
    };
    let material = match text("kty")? {
        "RSA" => rsa(text("n")?, text("e")?)?,
        kind => curve(kind, text("crv")?, text("x")?, text("y"))?,
    };
    Some(Key {
        id: text("kid").map(str::to_owned),
        algorithm,
        material,
    })
}

fn rsa(modulus: &str, exponent: &str) -> Option<Material> {
    let (modulus, exponent) = (number(modulus)?, number(exponent)?);
    (MODULUS.contains(&modulus.len()) && !exponent.is_empty())
        .then_some(Material::Rsa { modulus, exponent })
}

fn curve(kind: &str, name: &str, x: &str, y: Option<&str>) -> Option<Material> {
    let known = CURVES
        .iter()
        .find(|(of, known, _)| *of == kind && *known == name);
    let (_, name, width) = known?;
    let point = match kind {
        "OKP" => Some(octets(x)?).filter(|point| point.len() == *width)?,
        _ => {
            let mut point = vec![4];
            point.extend(padded(number(x)?, *width)?);
            point.extend(padded(number(y?)?, *width)?);
            point
        }
    };
    Some(Material::Curve { name, point })
}

/// Some issuers pad what should not be; a public key is none the worse for it.
fn octets(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .ok()
}

/// A big-endian number without leading zeros.
fn number(text: &str) -> Option<Vec<u8>> {
    let octets = octets(text)?;
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    Some(octets[zeros..].to_vec())
}

fn padded(number: Vec<u8>, width: usize) -> Option<Vec<u8>> {
    let missing = width.checked_sub(number.len())?;
    let mut padded = vec![0; missing];
    padded.extend(number);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn usable(keys: Value) -> usize {
        let document = json!({"keys": keys}).to_string();
        let set = KeySet::parse(document.as_bytes());
        set.expect("a key set").0.len()
    }

    #[test]
    fn only_keys_that_check_signatures_are_taken() {
        let modulus = BASE64_URL_SAFE_NO_PAD.encode([0xff; 256]);
        let small = BASE64_URL_SAFE_NO_PAD.encode([0xff; 128]);
        let half = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
        for (key, expected) in [
            (json!({"kty": "RSA", "n": modulus, "e": "AQAB"}), 1),
            (
                json!({"kty": "RSA", "n": modulus, "e": "AQAB", "use": "sig", "alg": "RS256"}),
                1,
            ),
            (
                json!({"kty": "RSA", "n": modulus, "e": "AQAB", "key_ops": ["verify"]}),
                1,
            ),
            (
                json!({"kty": "RSA", "n": format!("{modulus}=="), "e": "AQAB"}),
                1,
            ),
            (
                json!({"kty": "EC", "crv": "P-256", "x": half, "y": half}),
                1,
            ),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": half}), 1),
            (
                json!({"kty": "RSA", "n": modulus, "e": "AQAB", "use": "enc"}),
                0,
            ),
            (
                json!({"kty": "RSA", "n": modulus, "e": "AQAB", "key_ops": ["encrypt"]}),
                0,
            ),
            (
                json!({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RSA-OAEP"}),
                0,
            ),
            (
                json!({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "HS256"}),
                0,
            ),
            (json!({"kty": "RSA", "n": small, "e": "AQAB"}), 0),
            (json!({"kty": "RSA", "n": modulus}), 0),
            (json!({"kty": "oct", "k": half}), 0),
            (
                json!({"kty": "EC", "crv": "Ed25519", "x": half, "y": half}),
                0,
            ),
            (
                json!({"kty": "EC", "crv": "P-256", "x": modulus, "y": half}),
                0,
            ),
            (
                json!({"kty": "EC", "crv": "secp256k1", "x": half, "y": half}),
                0,
            ),
            (json!({"kty": "OKP", "crv": "X25519", "x": half}), 0),
            (json!(7), 0),
        ] {
            assert_eq!(usable(json!([key])), expected, "{key}");
        }
        assert!(KeySet::parse(b"[]").is_err());
        assert!(KeySet::parse(b"{").is_err());
    }
}
