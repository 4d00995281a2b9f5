//! How something is rendered, as it is kept: by a link for its uses, by a consumer to tell whether it
//! would get the same again.

use serde::{Deserialize, Serialize};

use super::error::{Result, stored};
use super::manifests::{Expired, Options, Purpose};
use crate::model::body::body;
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
            output: match self.output == Output::Script.as_str() {
                true => Output::Script,
                false => stored(Output::parse(&self.output))?,
            },
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

body! {
    /// How to render: what is given stands over what is stored.
    #[derive(Debug, Clone)]
    pub struct RenderFields {}
    fields {
        /// `secret` unless given.
        format: Format, default;
        /// How endpoints are spread over Secrets.
        layout: Option<Layout>, optional;
        /// Namespace of the objects.
        namespace: Option<Namespace>, optional;
        /// Name of the one Secret.
        secret_name: Option<ObjectName>, optional;
        /// Type of the Secrets.
        secret_type = "type": Option<SecretType>, optional;
        /// How the document is written, where the format has both; otherwise as `Accept` says.
        output: Option<Output>, optional;
        /// `true` refuses to render an expired credential with 409.
        strict: bool, default;
    }
    rules(form) {
        let meant = format.unwrap_or_default();
        if output.is_some_and(|output| !meant.has_output(output)) {
            let detail = format!("the format {} is not written so", meant.as_str());
            form.report("output", Fault::new("invalid-output", detail));
        }
        if meant == Format::ExternalSecret && layout == Some(Layout::Split) {
            let detail = "a webhook gives one Secret with all endpoints";
            form.report("layout", Fault::new("not-allowed", detail));
        }
    }
}

impl RenderFields {
    /// The options, written so unless `output` was given.
    pub fn options(self, output: Output) -> Options {
        Options {
            format: self.format,
            output: self.output.unwrap_or(output),
            layout: self.layout,
            namespace: self.namespace,
            secret_name: self.secret_name,
            secret_type: self.secret_type,
            purpose: Purpose::Use,
            expired: if self.strict {
                Expired::Refuses
            } else {
                Expired::Warns
            },
            inputs: Inputs::Nothing,
        }
    }
}
