//! A JSON document as it was sent: order and repeated names kept, text zeroed when dropped.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use zeroize::Zeroizing;

/// A JSON value that may hold secrets.
///
/// `serde_json::Value` drops the earlier of two equal names without a word and leaves its text in
/// freed memory; a body with a password deserves neither.
#[derive(Clone)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as serde_json holds it.
    Number(serde_json::Number),
    /// A string.
    Text(Zeroizing<String>),
    /// An array.
    List(Vec<Json>),
    /// An object: its members in the order sent, repeated names included.
    Object(Vec<(String, Json)>),
    /// A secret that is stored and stays as it is; stands for it while a patch is merged and can
    /// not be sent.
    Kept,
    /// What a patch takes out although it is not there, which changes nothing. It stays so that the reader tells
    /// whether there could be such a member; can not be sent.
    Removed,
}

impl Json {
    /// Parses a whole document.
    ///
    /// # Errors
    /// What serde_json says of the syntax, as line, column and a message without content.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// A string value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// What kind of value it is, in JSON's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null | Self::Removed => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) | Self::Kept => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value of a member; of a repeated name the last, as most readers take it.
    pub fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a string value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a member that is a string.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.member(name).and_then(Self::as_text)
    }

    /// Writes the document, repeated names included, into one buffer that does not grow.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.most_bytes()));
        // Every value here is one of JSON, and a vector takes every byte.
        let _ = serde_json::to_writer(&mut *bytes, &Exposed(self));
        bytes
    }

    /// No less than the document needs: a control character takes six bytes, a number at most 32.
    fn most_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Kept | Self::Removed => 8,
            Self::Number(_) => 32,
            Self::Text(text) => text.len() * 6 + 4,
            Self::List(items) => {
                items
                    .iter()
                    .map(|item| item.most_bytes() + 1)
                    .sum::<usize>()
                    + 4
            }
            Self::Object(members) => {
                let member =
                    |(name, value): &(String, Json)| name.len() * 6 + 8 + value.most_bytes();
                members.iter().map(member).sum::<usize>() + 4
            }
        }
    }

    /// Applies a merge patch (RFC 7396, section 2) and gives the result.
    ///
    /// A name that the patch repeats stays repeated, so that reading it reports the repetition; what it removes and was
    /// not there stays as [`Json::Removed`].
    #[must_use]
    pub fn merged_with(self, patch: Json) -> Json {
        let Json::Object(changes) = patch else {
            return patch;
        };
        let members = match self {
            Json::Object(members) => members,
            _ => Vec::new(),
        };
        let mut places = HashMap::with_capacity(members.len());
        for (at, (name, _)) in members.iter().enumerate() {
            places.entry(name.clone()).or_insert(at);
        }
        let mut members: Vec<Option<(String, Json)>> = members.into_iter().map(Some).collect();
        let mut seen = HashSet::with_capacity(changes.len());
        for (name, change) in changes {
            if !seen.insert(name.clone()) {
                members.push(Some((name, change)));
                continue;
            }
            let before = places.get(&name).and_then(|at| members[*at].take());
            let merged = match (change, before) {
                (Json::Null, None) => Json::Removed,
                (Json::Null, Some(_)) => continue,
                (change, before) => {
                    let before = before.map_or(Json::Null, |(_, value)| value);
                    before.merged_with(change)
                }
            };
            members.push(Some((name, merged)));
        }
        Json::Object(members.into_iter().flatten().collect())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(value) => Self::Number(value),
            Value::String(value) => Self::Text(Zeroizing::new(value)),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect(),
            ),
        }
    }
}

/// A document that is to be written although it may hold secrets: the one way to do so.
pub struct Exposed<'a>(pub &'a Json);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Null | Json::Kept | Json::Removed => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(value) => value.serialize(serializer),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Exposed(item))?;
                }
                list.end()
            }
            Json::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, &Exposed(value))?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::text(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).expect("the test's document parses")
    }

    fn plain(value: &Json) -> serde_json::Value {
        match value {
            Json::Null | Json::Removed => serde_json::Value::Null,
            Json::Bool(value) => (*value).into(),
            Json::Number(value) => value.clone().into(),
            Json::Text(value) => value.as_str().into(),
            Json::Kept => "<kept>".into(),
            Json::List(items) => items.iter().map(plain).collect(),
            Json::Object(members) => members
                .iter()
                .filter(|(_, value)| !matches!(value, Json::Removed))
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect(),
        }
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn merge_patch_follows_the_rfc() {
        for (original, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, r#"null"#, r#"null"#),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            (
                r#"{}"#,
                r#"{"a":{"bb":{"ccc":null}}}"#,
                r#"{"a":{"bb":{}}}"#,
            ),
        ] {
            let merged = json(original).merged_with(json(patch));
            let expected: serde_json::Value =
                serde_json::from_str(result).expect("the expected document parses");
            assert_eq!(plain(&merged), expected, "{original} + {patch}");
        }
    }

    #[test]
    fn a_document_is_written_as_it_was_read() {
        for text in [
            r#"{"a":1,"a":[true,null,-1.5],"b":{"c":"\u0000\"ä"}}"#,
            r#"[]"#,
            r#""text""#,
        ] {
            assert_eq!(json(text).to_bytes().as_slice(), text.as_bytes());
        }
    }

    #[test]
    fn of_a_repeated_member_the_last_counts() {
        assert_eq!(json(r#"{"a":"1","a":"2"}"#).text_of("a"), Some("2"));
        assert_eq!(json(r#"{"a":1}"#).text_of("a"), None);
        assert_eq!(json("[]").text_of("a"), None);
    }

    #[test]
    fn debug_shows_only_the_kind() {
        assert_eq!(
            format!("{:?}", json(r#"{"secret":"hunter2"}"#)),
            "an object"
        );
    }
}
