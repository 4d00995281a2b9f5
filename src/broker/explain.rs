//! Explaining over stored credentials: which of them a client would use, and no secret of any.

use std::collections::HashMap;

use super::manifests::{Options, Source};
use super::resolve::credential_spec;
use super::view::stored_name;
use super::{Broker, Error, Result, Scope};
use crate::auth_file::explain::realm::Realm;
use crate::auth_file::explain::report::Report;
use crate::auth_file::explain::{Client, Explanation, Parsed, Question};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::model::pull_secret::{Layout, SecretType};
use crate::model::registry_path::RegistryPath;
use crate::render::Format;
use crate::render::auth_file::{docker_config, docker_key};
use crate::render::bundle::Bundle;
use crate::store::credentials::CredentialRow;

/// What to explain.
pub struct Ask {
    /// The image, as sent.
    pub image: String,
    /// The clients to ask.
    pub clients: Vec<&'static dyn Client>,
    /// Where the registry sends clients to log in, if it was said.
    pub realm: Option<Realm>,
}

/// The stored credentials as clients would see them.
struct Stored {
    file: Parsed,
    secret_type: SecretType,
    /// The credential behind each key.
    names: HashMap<String, Name>,
    /// The auth servers of those credentials that have one.
    auth_servers: HashMap<Name, RegistryPath>,
}

impl Ask {
    /// Explains an auth file.
    ///
    /// # Errors
    /// `invalid-image` at `/image` where the image is none to every client asked.
    pub fn about(&self, file: &Parsed) -> Result<Report> {
        let explain = |client: &&'static dyn Client| {
            let explanation = client.explain(&Question {
                file,
                image: &self.image,
                realm: self.realm.as_ref(),
            });
            (client.name(), explanation)
        };
        self.report(self.clients.iter().map(explain).collect())
    }

    fn about_stored(&self, stored: &Stored) -> Result<Report> {
        let explain = |client: &&'static dyn Client| (client.name(), stored.explain(*client, self));
        let mut report = self.report(self.clients.iter().map(explain).collect())?;
        for client in report.clients.values_mut() {
            let names = client
                .matches
                .iter()
                .filter_map(|key| stored.names.get(key));
            client.credentials = Some(names.map(Name::to_string).collect());
        }
        Ok(report)
    }

    fn report(&self, answers: Vec<(&'static str, Explanation)>) -> Result<Report> {
        let invalid = |fault: Fault| Error::invalid(fault.at("/image"));
        Report::new(&self.image, answers).map_err(invalid)
    }
}

impl Stored {
    /// The file that is rendered for Docker and into Secrets; Podman reads the same of it as of its own.
    fn new(bundle: &Bundle, auth_servers: HashMap<Name, RegistryPath>) -> Self {
        let names = bundle.endpoints.iter().map(|endpoint| {
            let key = docker_key(&endpoint.path).to_owned();
            (key, endpoint.credential.clone())
        });
        Self {
            file: AuthFile::parse(&docker_config(&bundle.endpoints), FileFormat::Config),
            secret_type: bundle.target.secret_type,
            names: names.collect(),
            auth_servers,
        }
    }

    fn explain(&self, client: &dyn Client, ask: &Ask) -> Explanation {
        let with_realm = |realm: Option<&Realm>| {
            client.explain(&Question {
                file: &self.file,
                image: &ask.image,
                realm,
            })
        };
        let mut explanation = with_realm(ask.realm.as_ref());
        if let (None, Some(realm)) = (&ask.realm, self.known_realm(&explanation)) {
            explanation = with_realm(Some(&realm));
        }
        match client.reads_secrets() && !self.secret_type.read_by_kubelet() {
            true => explanation.passed_over(self.secret_type.as_str()),
            false => explanation,
        }
    }

    /// The credential that serves the registry tells where its auth server is.
    fn known_realm(&self, explanation: &Explanation) -> Option<Realm> {
        let credential = self.names.get(explanation.found_for_registry()?)?;
        let auth_server = self.auth_servers.get(credential)?;
        Some(Realm::at(auth_server.as_str()))
    }
}

impl Broker {
    /// Explains what clients would use of a stored pull secret, or of a list of credentials.
    ///
    /// # Errors
    /// `Forbidden` for a caller that is limited to other pull secrets, `RegistryPathConflict`, and
    /// `Invalid` for a name that there is not and for an image that is none to every client asked.
    pub async fn explain(&self, scope: &Scope, source: &Source, ask: &Ask) -> Result<Report> {
        refuse_beyond_limits(scope, source)?;
        // One file names each path once, however its endpoints are spread over Secrets.
        let options = Options {
            layout: Some(Layout::Merged),
            ..Options::as_stored(Format::DockerConfig)
        };
        // Which key is chosen hangs on no secret, so none is opened.
        let looked = self.look_at(scope, source, &options).await;
        let (draft, bundle) = looked.map_err(|error| match (error, source) {
            (Error::NotFound, Source::PullSecret(name)) => {
                let detail = format!("there is no pull secret {name}");
                Error::invalid(Fault::new("unknown-pull-secret", detail).at("/pull_secret"))
            }
            (error, _) => error,
        })?;
        let auth_servers = auth_servers_of(&draft.rows)?;
        ask.about_stored(&Stored::new(&bundle, auth_servers))
    }
}

fn auth_servers_of(rows: &[CredentialRow]) -> Result<HashMap<Name, RegistryPath>> {
    let mut auth_servers = HashMap::new();
    for row in rows {
        let spec = credential_spec(row)?;
        if let Some(auth_server) = spec.auth_server {
            auth_servers.insert(stored_name(&row.name)?, auth_server.registry);
        }
    }
    Ok(auth_servers)
}

fn refuse_beyond_limits(scope: &Scope, source: &Source) -> Result<()> {
    let caller = &scope.caller;
    let is_kept_out = match source {
        Source::PullSecret(name) => caller.is_kept_from(name.as_str()),
        Source::Credential(_) | Source::AdHoc(_) => caller.pull_secrets().is_some(),
    };
    match is_kept_out {
        true => Err(Error::Forbidden(
            "the token is limited to other pull secrets",
        )),
        false => Ok(()),
    }
}
