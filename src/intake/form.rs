//! What documents look like: which form they have, under which keys auth files stand, and how names of
//! theirs are shown.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::document::Syntax;
use super::format::Format;
use crate::auth_file::detect::looks_like_registry;
use crate::auth_file::field::is_named;
pub use crate::auth_file::parse::shown;
use crate::model::json::Json;
use crate::model::mistake::Fault;

/// Longest name that a pointer holds as it is, in bytes.
const MOST_POINTED: usize = 300;

/// How deep `imageCredentials` are looked for.
const MOST_NESTED: usize = 6;

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

/// Which form a document of a text has. No client reads a `.dockercfg` that is written in YAML: what
/// looks like one there are the values of a chart.
pub fn form_in(document: &Json, syntax: Syntax) -> Option<Format> {
    form_of(document).filter(|form| (syntax, *form) != (Syntax::Yaml, Format::DockerCfg))
}

/// Which form a JSON document has.
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

/// An entry of a `.dockercfg`: one with a text `auth`, or with any field of entries under what looks like
/// a registry.
fn is_flat_entry(name: &str, value: &Json) -> bool {
    let Json::Object(fields) = value else {
        return false;
    };
    let is = |field: &str, known: &str| field.eq_ignore_ascii_case(known);
    let has_auth = |(field, value): &(String, Json)| is(field, "auth") && value.as_text().is_some();
    let names_registry = looks_like_registry(name) || fields.iter().any(has_auth);
    let known = [
        "auth",
        "username",
        "password",
        "email",
        "identitytoken",
        "registrytoken",
    ];
    !SETTINGS.contains(&&*name.to_ascii_lowercase())
        && names_registry
        && fields
            .iter()
            .any(|(field, _)| known.contains(&&*field.to_ascii_lowercase()))
}

/// Where values of a chart hold `imageCredentials`, if not at their top.
pub fn nested_credentials(document: &Json) -> Option<String> {
    fn below(value: &Json, at: &str, depth: usize) -> Option<String> {
        let Json::Object(members) = value else {
            return None;
        };
        let own = members.iter().find(|(name, value)| {
            name == "imageCredentials" && matches!(value, Json::Object(_) | Json::List(_))
        });
        if own.is_some() {
            return Some(format!("{at}/imageCredentials"));
        }
        let mut inner = members.iter().filter(|_| depth > 0);
        inner.find_map(|(name, value)| below(value, &format!("{at}/{}", escaped(name)), depth - 1))
    }
    below(document, "", MOST_NESTED)
}

/// The members of a document that stand where `auths` belongs and mean nothing to any client.
pub fn strangers(document: &Json) -> Vec<String> {
    let Json::Object(members) = document else {
        return Vec::new();
    };
    let known = |name: &str| SETTINGS.contains(&&*name.to_ascii_lowercase());
    match members.iter().any(|(name, _)| is_named(name, "auths")) {
        true => Vec::new(),
        false => members
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !known(name))
            .cloned()
            .collect(),
    }
}

/// The shape of the auth file under a key of a Secret's data, if that key holds one.
pub fn file_key(key: &str) -> Option<Shape> {
    match key {
        ".dockerconfigjson" | "auth.json" | ".auth.json" | "config.json" => Some(Shape::Config),
        ".dockercfg" => Some(Shape::Flat),
        _ => None,
    }
}

/// The text of a value of a Secret.
///
/// # Errors
/// `not-text` for anything else, which no reader of manifests takes.
pub fn text_value(value: &Json) -> Result<&str, Fault> {
    value.as_text().ok_or_else(|| {
        let hint = match value {
            Json::Object(_) | Json::List(_) => " (in YAML, write `|` behind the colon)",
            _ => "",
        };
        let detail = format!("it must be text, found {}{hint}", value.kind());
        Fault::new("not-text", detail)
    })
}

/// Decodes a value of a Secret's `data`.
///
/// # Errors
/// `not-base64`, with the cause where it can be told.
pub fn decode_data(text: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut clean = Zeroizing::new(String::with_capacity(text.len()));
    clean.extend(text.chars().filter(|c| !matches!(c, '\r' | '\n')));
    DATA.decode(clean.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| Fault::new("not-base64", why_not_base64(text)))
}

fn why_not_base64(text: &str) -> String {
    let bare = text.trim();
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    let cause = if bare.starts_with("ENC[") {
        ": it is encrypted by SOPS; decrypt it first"
    } else if bare.starts_with("{{") || bare.starts_with("${") {
        ": it is a template; render it first"
    } else if bare.starts_with('{') {
        ": it is JSON as it is, which belongs under `stringData`"
    } else if bare.contains(char::is_whitespace) {
        ": there is white space in it, and not only line ends"
    } else if bare.contains(['-', '_']) && bare.bytes().all(is_safe) {
        ": it is written in the URL-safe alphabet"
    } else if lacks_padding(bare) {
        ": the `=` at its end are missing"
    } else {
        ""
    };
    format!("a value of `data` is no base64{cause}")
}

fn lacks_padding(text: &str) -> bool {
    let missing = (4 - text.len() % 4) % 4;
    let padded = Zeroizing::new(format!("{text}{}", "=".repeat(missing)));
    !text.ends_with('=') && DATA.decode(padded.as_bytes()).map(Zeroizing::new).is_ok()
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
