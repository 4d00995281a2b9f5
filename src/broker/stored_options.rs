//! How something is rendered, as it is kept: by a link for its uses, by a consumer to tell whether it
//! would get the same again.

use serde::{Deserialize, Serialize};

use super::error::{Result, stored};
use super::manifests::{Expired, Options, Purpose};
use crate::model::form::{self, Form};
use crate::model::mistake::Fault;
use crate::model::name::{Namespace, ObjectName};
use crate::model::pull_secret::{Layout, SecretType};
use crate::render::inputs::Inputs;
use crate::render::{Format, Output};

/// [`Options`] as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredOptions {
    pub format: String,
    pub output: String,
    layout: Option<Layout>,
    namespace: Option<Namespace>,
    secret_name: Option<ObjectName>,
    #[serde(rename = "type")]
    secret_type: Option<SecretType>,
    strict: bool,
}

impl From<&Options> for StoredOptions {
    fn from(options: &Options) -> Self {
        Self {
            format: options.format.as_str().to_owned(),
            output: options.output.as_str().to_owned(),
            layout: options.layout,
            namespace: options.namespace.clone(),
            secret_name: options.secret_name.clone(),
            secret_type: options.secret_type,
            strict: options.expired == Expired::Refuses,
        }
    }
}

impl StoredOptions {
    /// The options that were stored.
    ///
    /// # Errors
    /// `Internal` for a format that nobody can ask for by name.
    pub fn options(&self) -> Result<Options> {
        Ok(Options {
            format: stored(Format::parse(&self.format))?,
            output: stored(Output::parse(&self.output))?,
            layout: self.layout,
            namespace: self.namespace.clone(),
            secret_name: self.secret_name.clone(),
            secret_type: self.secret_type,
            purpose: Purpose::Use,
            expired: if self.strict {
                Expired::Refuses
            } else {
                Expired::Warns
            },
            inputs: Inputs::Nothing,
        })
    }
}

impl Options {
    /// Reads the fields that a rendering takes as parameters from a body.
    pub(super) fn read(form: &mut Form) -> Self {
        let format = form
            .optional("format", form::parsed(Format::parse))
            .unwrap_or_default();
        if format.needs_inputs() {
            let detail = format!("the format {} has no place for a link", format.as_str());
            form.report("format", Fault::new("invalid-format", detail));
        }
        let output = form.optional("output", form::parsed(Output::parse));
        if output.is_some_and(|output| !format.has_output(output)) {
            let detail = format!("the format {} is not written so", format.as_str());
            form.report("output", Fault::new("invalid-output", detail));
        }
        Self {
            format,
            output: output.unwrap_or_else(|| format.default_output()),
            layout: form.optional("layout", form::parsed(Layout::parse)),
            namespace: form.optional("namespace", form::parsed(Namespace::parse)),
            secret_name: form.optional("secret_name", form::parsed(ObjectName::parse)),
            secret_type: form.optional("type", form::parsed(SecretType::parse)),
            purpose: Purpose::Use,
            expired: match form.optional("strict", form::boolean) {
                Some(true) => Expired::Refuses,
                _ => Expired::Warns,
            },
            inputs: Inputs::Nothing,
        }
    }
}
