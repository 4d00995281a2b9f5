//! Telling the formats of auth files apart by what is in them.

use super::document::{Depth, Document, Kind, Value};
use super::field::{self, is_named};
use super::parse::FileFormat;

impl FileFormat {
    /// The format that a file looks like: a `.dockercfg` holds nothing but entries under registries. A
    /// file with any field of a `config.json`, or with anything else in it, is none.
    pub fn detect(text: &[u8]) -> Self {
        let Ok(document) = Document::parse(text, Depth::OfGo) else {
            return Self::Config;
        };
        let mut members = document.root().into_iter().flat_map(|root| root.members());
        let is_entry = |(key, value): (Value<'_, '_>, Value<'_, '_>)| {
            let key = key.text().unwrap_or_default();
            value.kind() == Kind::Object && !is_field(&key) && looks_like_registry(&key)
        };
        match members.next() {
            Some(first) if is_entry(first) && members.all(is_entry) => Self::Dockercfg,
            _ => Self::Config,
        }
    }
}

fn is_field(name: &str) -> bool {
    let of_config = ["auths", field::CRED_HELPERS.name, field::CREDS_STORE.name];
    let others = field::OTHERS.iter().map(|known| known.name);
    of_config
        .into_iter()
        .chain(others)
        .any(|field| is_named(name, field))
}

/// A URL, or something with a host in front: a dot, a port, or `localhost`.
pub fn looks_like_registry(key: &str) -> bool {
    let host = key.split('/').next().unwrap_or(key);
    host.contains(['.', ':']) || host == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_under_registries_are_a_dockercfg() {
        for (text, expected) in [
            (r#"{"quay.io": {"auth": "eDp5"}}"#, FileFormat::Dockercfg),
            (
                r#"{"https://index.docker.io/v1/": {}, "localhost/a": {}, "reg:5000": {}}"#,
                FileFormat::Dockercfg,
            ),
            (r#"{"auths": {"quay.io": {}}}"#, FileFormat::Config),
            (r#"{"quay.io": {}, "Auths": {}}"#, FileFormat::Config),
            (r#"{"quay.io": {}, "credsStore": "x"}"#, FileFormat::Config),
            (r#"{"quay.io": null}"#, FileFormat::Config),
            (r#"{"metadata": {}}"#, FileFormat::Config),
            ("{}", FileFormat::Config),
            ("[]", FileFormat::Config),
            ("{", FileFormat::Config),
            ("", FileFormat::Config),
        ] {
            assert_eq!(FileFormat::detect(text.as_bytes()), expected, "{text}");
        }
    }
}
