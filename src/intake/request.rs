//! An import as it is asked for.

use utoipa::openapi::{RefOr, Schema};

use super::document::Content;
use super::format::Format;
use super::name::MOST_PREFIX_BYTES;
use crate::model::body::{self, Face, Wire, body, text_schema};
use crate::model::form::At;
use crate::model::json::Json;
use crate::model::labels::Labels;
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::model::pull_secret::Target;
use crate::model::spelled::spelled;
use crate::text_wire;

spelled! {
    /// What an import does where there is a credential for a registry path already.
    #[derive(Default)]
    pub enum OnExisting: "OnExisting" or "invalid-value" {
        /// Another account than the stored one keeps everything from being imported.
        #[default]
        Reject = "reject",
        /// The stored account is replaced, as a new version.
        Replace = "replace",
        /// The stored account stays.
        Skip = "skip",
    }
}

spelled! {
    /// What becomes of an entry that makes no credential.
    #[derive(Default)]
    pub enum OnInvalid: "OnInvalid" or "invalid-value" {
        /// It keeps everything from being taken over.
        #[default]
        Reject = "reject",
        /// It is left out, and the report says why.
        Skip = "skip",
    }
}

/// Whether anything is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Run {
    /// Everything is done and undone again.
    Dry,
    /// What the report says is done.
    #[default]
    Real,
}

body! {
    /// The pull secret that lists what is imported.
    #[derive(Debug)]
    pub struct WantedPullSecret { whole: "ImportPullSecretInput"; }
    fields {
        /// Its name.
        name: Name, required;
        /// Where its Secrets go and who uses them; as it is, or the default, unless given.
        target: Option<Target>, optional;
    }
}

body! {
    /// An import as it is asked for.
    #[derive(Debug)]
    pub struct ImportRequest { whole: "ImportInput"; }
    fields {
        /// The file: as text, or as the JSON object that it holds.
        content: Content as File, required;
        /// Its form; `auto` unless given.
        format: Format, default;
        /// What happens where a credential is stored for a registry path already; `reject` unless given.
        on_existing: OnExisting, default;
        /// What happens to an entry that makes no credential; `reject` unless given. With `skip` it is left out and
        /// `skipped` in the report, with the reason.
        on_invalid: OnInvalid, default;
        /// Stands before each name that is made of a registry path.
        name_prefix: String as Prefix, default;
        /// Labels of what is created or replaced.
        labels: Labels, default;
        /// The pull secret that lists everything.
        pull_secret: Option<WantedPullSecret>, optional;
        /// `true` gives the report and stores nothing.
        run = "dry_run": Run, default;
    }
    example {
        "content": {"auths": {"quay.io/team": {"auth": "cm9ib3Q6czNjcmV0"}}},
        "format": "auto", "on_existing": "reject", "on_invalid": "reject", "name_prefix": "", "labels": {"team": "payments"},
        "pull_secret": {"name": "imported", "target": {"namespace": "default"}}, "dry_run": true
    }
}

/// Read from `dry_run`.
impl Wire for Run {
    type Value = Self;

    fn read(json: Json, at: &mut At) -> Option<Self> {
        Some(match bool::read(json, at)? {
            true => Self::Dry,
            false => Self::Real,
        })
    }

    fn schema(face: Face) -> RefOr<Schema> {
        bool::schema(face)
    }
}

/// A file that is given as text, or as the JSON object that it holds.
pub struct File;

impl Wire for File {
    type Value = Content;

    fn read(json: Json, at: &mut At) -> Option<Content> {
        Some(match body::Content::read(json, at)? {
            Json::Text(text) => Content::Text(text),
            object => Content::Object(object),
        })
    }

    fn schema(face: Face) -> RefOr<Schema> {
        body::Content::schema(face)
    }
}

/// What may stand before a name: a name itself, or one with a dash at its end.
struct Prefix;

text_wire!(
    Prefix => String,
    parse_prefix,
    text_schema(0, MOST_PREFIX_BYTES).pattern(Some("^([a-z0-9][-a-z0-9]*)?$"))
);

fn parse_prefix(text: &str) -> Result<String, Fault> {
    let fits = text.len() <= MOST_PREFIX_BYTES && Name::parse(&format!("{text}a")).is_ok();
    if fits {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        "invalid-name",
        format!(
            "expected at most {MOST_PREFIX_BYTES} lower-case letters, digits and dashes, none of these first"
        ),
    ))
}
