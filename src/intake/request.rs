//! An import as it is asked for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::document::Content;
use super::format::Format;
use super::name::MOST_PREFIX_BYTES;
use crate::model::form::{self, Form};
use crate::model::json::Json;
use crate::model::labels::{self, Labels};
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::Name;
use crate::model::pull_secret::{Target, read_target};

/// What an import does where there is a credential for a registry path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// Another account than the stored one keeps everything from being imported.
    #[default]
    Reject,
    /// The stored account is replaced, as a new version.
    Replace,
    /// The stored account stays.
    Skip,
}

/// What becomes of an entry that makes no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInvalid {
    /// It keeps everything from being taken over.
    #[default]
    Reject,
    /// It is left out, and the report says why.
    Skip,
}

/// Whether anything is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Everything is done and undone again.
    Dry,
    /// What the report says is done.
    Real,
}

/// The pull secret that lists what was imported.
#[derive(Debug)]
pub struct WantedPullSecret {
    /// Its name.
    pub name: Name,
    /// Where its Secrets go; as it is, or the default, unless given.
    pub target: Option<Target>,
}

/// An import as it is asked for.
#[derive(Debug)]
pub struct ImportRequest {
    /// What is imported.
    pub content: Content,
    /// Its form.
    pub format: Format,
    /// What happens to credentials that are there already.
    pub on_existing: OnExisting,
    /// What happens to entries that make no credential.
    pub on_invalid: OnInvalid,
    /// Stands before each name that is made.
    pub name_prefix: String,
    /// Labels of what is created or replaced.
    pub labels: Labels,
    /// The pull secret that lists all of it.
    pub pull_secret: Option<WantedPullSecret>,
    /// Whether anything is stored.
    pub run: Run,
}

impl ImportRequest {
    /// Reads an import as asked for (contract: `POST …/imports`).
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(document: Json) -> Result<Self, Vec<Mistake>> {
        let mut form = Form::new(document, "");
        let content = form.required("content", content);
        let format = form.optional("format", form::parsed(Format::parse));
        let on_existing = form.optional("on_existing", form::parsed(parse_on_existing));
        let on_invalid = form.optional("on_invalid", form::parsed(parse_on_invalid));
        let name_prefix = form.optional("name_prefix", form::parsed(parse_prefix));
        let labels = labels::read_labels(&mut form, "labels").unwrap_or_default();
        let pull_secret = form.object("pull_secret", read_pull_secret);
        let dry_run = form.optional("dry_run", form::boolean).unwrap_or_default();
        let request = content.map(|content| Self {
            content,
            format: format.unwrap_or_default(),
            on_existing: on_existing.unwrap_or_default(),
            on_invalid: on_invalid.unwrap_or_default(),
            name_prefix: name_prefix.unwrap_or_default(),
            labels,
            pull_secret,
            run: if dry_run { Run::Dry } else { Run::Real },
        });
        form.finish(request)
    }
}

/// Reads a file that is given as text, or as the JSON object that it holds.
///
/// # Errors
/// `wrong-type` for anything else.
pub fn content(value: Json) -> Result<Content, Fault> {
    match value {
        Json::Text(text) => Ok(Content::Text(text)),
        object @ Json::Object(_) => Ok(Content::Object(object)),
        other => Err(form::wrong_type("a string or an object", &other)),
    }
}

fn parse_on_existing(text: &str) -> Result<OnExisting, Fault> {
    match text {
        "reject" => Ok(OnExisting::Reject),
        "replace" => Ok(OnExisting::Replace),
        "skip" => Ok(OnExisting::Skip),
        _ => Err(Fault::new(
            "invalid-value",
            "expected reject, replace or skip",
        )),
    }
}

fn parse_on_invalid(text: &str) -> Result<OnInvalid, Fault> {
    match text {
        "reject" => Ok(OnInvalid::Reject),
        "skip" => Ok(OnInvalid::Skip),
        _ => Err(Fault::new("invalid-value", "expected reject or skip")),
    }
}

/// What may stand before a name: a name itself, or one with a dash at its end.
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

fn read_pull_secret(form: &mut Form) -> Option<WantedPullSecret> {
    let name = form.required("name", form::parsed(Name::parse));
    let target = form.object("target", |inner| Some(read_target(inner)));
    Some(WantedPullSecret {
        name: name?,
        target,
    })
}
