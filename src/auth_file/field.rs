//! The fields that the clients know, of which type each must be, and for whom.
//!
//! A value of another type is an error for a client that knows the field and nothing at all for one
//! that does not; so the same file is fine for one client and broken for the next.

use super::document::{Kind, Value};
use super::reading::Reader;

/// What a field holds. `null` stands for nothing in each of them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A string.
    Text,
    /// An array of one shape.
    List(&'static Shape),
    /// An object whose names are data.
    Map(&'static Shape),
    /// An object of these fields and of any others.
    Fields(&'static [(&'static str, Shape)]),
}

/// A field that somebody knows.
pub(super) struct Known {
    pub name: &'static str,
    pub shape: Shape,
    pub readers: &'static [Reader],
}

const fn known(name: &'static str, shape: Shape, readers: &'static [Reader]) -> Known {
    Known {
        name,
        shape,
        readers,
    }
}

use Reader::{ContainersImage, Docker, Kubelet, Oras};
use Shape::{Fields, List, Map, Text};

const TEXTS: Shape = Map(&Text);

/// The fields of an entry.
pub(super) const ENTRY: [Known; 7] = [
    known("auth", Text, &Reader::EVERY),
    known("username", Text, &[Kubelet, Docker, Oras]),
    known("password", Text, &[Kubelet, Docker, Oras]),
    known("email", Text, &[Kubelet]),
    known("identitytoken", Text, &[ContainersImage, Docker, Oras]),
    known("registrytoken", Text, &[Docker, Oras]),
    known("serveraddress", Text, &[Docker]),
];

/// The fields beside `auths` that matter to a look-up.
pub(super) const CRED_HELPERS: Known = known("credHelpers", TEXTS, &[ContainersImage, Docker]);
pub(super) const CREDS_STORE: Known = known("credsStore", Text, &[Docker]);

const PROXY: Shape = Fields(&[
    ("httpProxy", Text),
    ("httpsProxy", Text),
    ("noProxy", Text),
    ("ftpProxy", Text),
    ("allProxy", Text),
]);

/// The other fields of a `config.json`: nobody looks anything up in them, but a wrong type is an error.
pub(super) const OTHERS: [Known; 21] = [
    known("HttpHeaders", TEXTS, &[Kubelet, Docker]),
    known("psFormat", Text, &[Docker]),
    known("imagesFormat", Text, &[Docker]),
    known("networksFormat", Text, &[Docker]),
    known("pluginsFormat", Text, &[Docker]),
    known("volumesFormat", Text, &[Docker]),
    known("statsFormat", Text, &[Docker]),
    known("detachKeys", Text, &[Docker]),
    known("serviceInspectFormat", Text, &[Docker]),
    known("servicesFormat", Text, &[Docker]),
    known("tasksFormat", Text, &[Docker]),
    known("secretFormat", Text, &[Docker]),
    known("configFormat", Text, &[Docker]),
    known("nodesFormat", Text, &[Docker]),
    known("pruneFilters", List(&Text), &[Docker]),
    known("proxies", Map(&PROXY), &[Docker]),
    known("currentContext", Text, &[Docker]),
    known("cliPluginsExtraDirs", List(&Text), &[Docker]),
    known("plugins", Map(&TEXTS), &[Docker]),
    known("aliases", TEXTS, &[Docker]),
    known("features", TEXTS, &[Docker]),
];

/// Whether a name in a file means a field: letters count without their case, as in Go, where the long s
/// and the Kelvin sign are letters, too.
pub fn is_named(name: &str, field: &str) -> bool {
    match name.is_ascii() {
        true => name.eq_ignore_ascii_case(field),
        false => name.chars().map(fold).eq(field.chars().map(fold)),
    }
}

fn fold(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

impl Shape {
    /// In JSON's words, for a sentence.
    pub(super) fn word(self) -> &'static str {
        match self {
            Text => Kind::Text.word(),
            List(_) => Kind::List.word(),
            Map(_) | Fields(_) => Kind::Object.word(),
        }
    }

    /// The first value of another shape in here, and the shape it should have.
    pub(super) fn misfit<'d, 'a>(self, value: Value<'d, 'a>) -> Option<(Value<'d, 'a>, Shape)> {
        match (self, value.kind()) {
            (_, Kind::Null) | (Text, Kind::Text) => None,
            (List(shape), Kind::List) => value.items().find_map(|item| shape.misfit(item)),
            (Map(shape), Kind::Object) => {
                value.members().find_map(|(_, member)| shape.misfit(member))
            }
            (Fields(fields), Kind::Object) => value.members().find_map(|(name, member)| {
                let name = name.text()?;
                let (_, shape) = fields.iter().find(|(field, _)| is_named(&name, field))?;
                shape.misfit(member)
            }),
            _ => Some((value, self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_file::document::{Depth, Document};

    #[test]
    fn names_are_matched_without_their_case() {
        assert!(is_named("AuthS", "auths"));
        assert!(is_named("auth\u{17f}", "auths"));
        assert!(is_named("to\u{212a}en", "token"));
        assert!(!is_named("auths ", "auths"));
        assert!(!is_named("", "auths"));
    }

    #[test]
    fn the_first_misfit_is_found_wherever_it_stands() {
        let text = br#"{"a": null, "b": {"HTTPproxy": "x", "other": 1}, "c": {"noProxy": 2}}"#;
        let document = Document::parse(text, Depth::OfGo).map_err(|(fault, _)| fault);
        let document = document.expect("the text is JSON");
        let root = document.root().expect("there is a value");
        let (found, expected) = Map(&PROXY).misfit(root).expect("a number is no string");
        assert_eq!((found.kind(), expected.word()), (Kind::Number, "a string"));
        assert_eq!(found.place().column, 67);
    }
}
