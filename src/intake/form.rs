//! What documents look like: which form they have, under which keys auth files stand, and how names of
//! theirs are shown.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::format::Format;
pub use crate::auth_file::parse::shown;
use crate::model::json::Json;
use crate::model::mistake::Fault;

/// Longest name that a pointer holds as it is, in bytes.
const MOST_POINTED: usize = 300;

/// As the API server reads `data`: line ends are passed over, stray last bits too.
const DATA: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Members of `config.json` that hold no accounts; a file may have them and no `auths`.
const SETTINGS: [&str; 14] = [
    "credhelpers",
    "credsstore",
    "httpheaders",
    "detachkeys",
    "psformat",
    "imagesformat",
    "currentcontext",
    "experimental",
    "plugins",
    "proxies",
    "features",
    "aliases",
    "stackorchestrator",
    "clipluginsextradirs",
];

/// What entries have around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"auths": {…}}`.
    Config,
    /// Nothing: the legacy `.dockercfg`.
    Flat,
}

/// Which form a document has.
pub fn form_of(document: &Json) -> Option<Format> {
    let Json::Object(members) = document else {
        return None;
    };
    if document.text_of("kind").is_some() && document.member("pullSecret").is_none() {
        return Some(Format::Secret);
    }
    let has = |name: &str| members.iter().any(|(known, _)| known == name);
    let has_folded = |name: &str| {
        members
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if has_folded("auths") {
        return Some(Format::DockerConfig);
    }
    if has("pullSecret") {
        return Some(Format::PullSecret);
    }
    if has("imageCredentials") {
        return Some(Format::HelmValues);
    }
    if members
        .iter()
        .any(|(name, value)| file_key(name).is_some() && value.as_text().is_some())
    {
        return Some(Format::Data);
    }
    if members
        .iter()
        .any(|(name, value)| is_flat_entry(name, value))
    {
        return Some(Format::DockerCfg);
    }
    let settings = |(name, _): &(String, Json)| SETTINGS.contains(&&*name.to_ascii_lowercase());
    if members.iter().all(settings) {
        return Some(Format::DockerConfig);
    }
    None
}

fn is_flat_entry(name: &str, value: &Json) -> bool {
    let Json::Object(fields) = value else {
        return false;
    };
    let known = [
        "auth",
        "username",
        "password",
        "email",
        "identitytoken",
        "registrytoken",
    ];
    !SETTINGS.contains(&&*name.to_ascii_lowercase())
        && fields
            .iter()
            .any(|(field, _)| known.contains(&&*field.to_ascii_lowercase()))
}

/// The shape of the auth file under a key of a Secret's data, if that key holds one.
pub fn file_key(key: &str) -> Option<Shape> {
    match key {
        ".dockerconfigjson" | "auth.json" | ".auth.json" | "config.json" => Some(Shape::Config),
        ".dockercfg" => Some(Shape::Flat),
        _ => None,
    }
}

/// Decodes a value of a Secret's `data`.
///
/// # Errors
/// `not-base64`.
pub fn decode_data(text: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut clean = Zeroizing::new(String::with_capacity(text.len()));
    clean.extend(text.chars().filter(|c| !matches!(c, '\r' | '\n')));
    DATA.decode(clean.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| Fault::new("not-base64", "a value of `data` is no base64"))
}

/// The name of a field as a JSON pointer has it (RFC 6901, section 3); one that may hold a password, or
/// is very long, only as far as it is fit to be shown.
pub fn escaped(name: &str) -> String {
    let fit = name.len() <= MOST_POINTED && !name.contains('@');
    let name = if fit { name.to_owned() } else { shown(name) };
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_holds_no_password() {
        let long = format!("https://user:{}@quay.io", "hunter2".repeat(100));
        assert_eq!(escaped(&long), "https:~1~1…@quay.io");
        assert_eq!(escaped("quay.io/a~b"), "quay.io~1a~0b");
        assert!(escaped(&"ä".repeat(500)).chars().count() < 200);
    }
}
