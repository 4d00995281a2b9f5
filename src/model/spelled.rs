//! Closed sets of words: an enumeration and how the API spells it, once.

/// Declares an enumeration whose variants the API spells as words: `ALL`, `as_str`, `parse`, serde, and the
/// schema come from it. `pub enum Kind: "CredentialKind" or "invalid-kind" { Password = "password", … }` gives
/// the schema's name and the code of the mistake. `hidden` ones have a spelling that cannot be asked for.
#[macro_export]
macro_rules! spelled {
    (
        $(#[doc = $doc:expr])* $(#[derive($derive:ident)])?
        $vis:vis enum $Enum:ident : $name:literal or $code:literal {
            $( $(#[doc = $variant_doc:expr])* $(#[default $($default:tt)?])? $variant:ident = $word:literal, )*
        }
        $(hidden { $( $(#[doc = $hidden_doc:expr])* $hidden:ident = $hidden_word:literal, )* })?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash $(, $derive)?)]
        $vis enum $Enum {
            $( $(#[doc = $variant_doc])* $(#[default $($default)?])? $variant, )*
            $($( $(#[doc = $hidden_doc])* $hidden, )*)?
        }

        impl $Enum {
            /// Every one that can be asked for, in order.
            $vis const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// As the API spells it.
            $vis fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )*
                    $($( Self::$hidden => $hidden_word, )*)?
                }
            }

            /// Reads the API's spelling.
            ///
            /// # Errors
            /// A fault that lists all.
            $vis fn parse(text: &str) -> Result<Self, $crate::model::mistake::Fault> {
                let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
                found.ok_or_else(|| {
                    let detail = $crate::model::spelled::expected(&Self::ALL.map(Self::as_str));
                    $crate::model::mistake::Fault::new($code, detail)
                })
            }
        }

        impl serde::Serialize for $Enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Enum {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err(|fault| serde::de::Error::custom(fault.detail))
            }
        }

        impl utoipa::PartialSchema for $Enum {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let words = [$( ($word, $crate::model::body::prose(&[$($variant_doc),*])) ),*];
                $crate::model::spelled::schema(&$crate::model::body::prose(&[$($doc),*]), &words)
            }
        }

        impl utoipa::ToSchema for $Enum {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }

        impl $crate::model::body::Wire for $Enum {
            type Value = Self;

            fn read(json: $crate::model::json::Json, at: &mut $crate::model::form::At) -> Option<Self> {
                let text = at.take($crate::model::form::text(json))?;
                at.take(Self::parse(&text))
            }

            fn schema(_: $crate::model::body::Face) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::model::body::reference($name)
            }

            fn register(_: $crate::model::body::Face, schemas: &mut $crate::model::body::Schemas) {
                schemas.push(($name.to_owned(), <Self as utoipa::PartialSchema>::schema()));
            }
        }
    };
}

/// Declares the schema of a closed set of words that answers hold as texts, by what they are made of.
#[macro_export]
macro_rules! words {
    ($(#[doc = $doc:expr])* $vis:vis $Words:ident : $name:literal = $words:expr) => {
        $(#[doc = $doc])*
        $vis struct $Words;

        impl utoipa::PartialSchema for $Words {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let words: Vec<String> = $words.into_iter().map(Into::into).collect();
                let words: Vec<_> = words.iter().map(|word| (word.as_str(), String::new())).collect();
                $crate::model::spelled::schema(&$crate::model::body::prose(&[$($doc),*]), &words)
            }
        }

        impl utoipa::ToSchema for $Words {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// `expected a, b or c`.
pub fn expected(words: &[&str]) -> String {
    match words {
        [] => "expected nothing".into(),
        [one] => format!("expected {one}"),
        [first @ .., last] => format!("expected {} or {last}", first.join(", ")),
    }
}

/// The schema of a closed set, with what each word means.
pub fn schema(doc: &str, words: &[(&str, String)]) -> RefOr<Schema> {
    let meanings = words
        .iter()
        .filter(|(_, meaning)| !meaning.is_empty())
        .map(|(word, meaning)| format!("\n* `{word}`: {meaning}"));
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().map(|(word, _)| *word)))
        .description(Some(
            format!("{doc}\n{}", meanings.collect::<String>()).trim_end(),
        ))
        .into()
}

pub use crate::{spelled, words};
