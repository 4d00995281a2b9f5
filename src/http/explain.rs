//! `/v1/explain` and `/v1/tenants/{tenant}/explain`: which credential a client would use, and why.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::body::{JsonBody, Parted, VerbatimBody};
use super::gate::Entered;
use super::problem::{Answer, Problem};
use crate::auth_file::explain::realm::Realm;
use crate::auth_file::explain::report::Report;
use crate::auth_file::explain::{CLIENTS, Client, Parsed, client_named, usual_clients};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::broker::explain::Ask;
use crate::broker::manifests::Source;
use crate::model::form::{self, Form, wrong_type};
use crate::model::json::Json as Document;
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::Name;
use crate::model::pull_secret::{Layout, OnConflict, PullSecretSpec, Target};

/// What to explain of an auth file.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "auth_file": {"auths": {"quay.io": {"auth": "dGVhbTpzM2NyZXQ="}, "quay.io/team": {"auth": "cm9ib3Q6czNjcmV0"}}},
    "image": "quay.io/team/app:1", "clients": ["kubelet", "docker"]
}))]
#[allow(dead_code, reason = "describes what explain::auth_file reads")]
pub struct ExplainBody {
    /// The file: the JSON object that it holds, or its text. Read as the clients read it: names given
    /// twice, deep nesting and broken Unicode are not lost.
    #[schema(value_type = Object)]
    auth_file: serde_json::Value,
    /// `docker-config` (entries under `auths`), `dockercfg` (nothing but entries), or `auto`, which tells
    /// by what is in the file; `auto` unless given.
    format: Option<String>,
    /// The image, as it is written in a pod.
    #[schema(example = "quay.io/team/app:1")]
    image: String,
    /// `kubelet`, `containers-image`, `docker`, `openshift-import`, which answer unless others are asked;
    /// `ggcr` (kaniko, crane, ko, cosign), `buildkit` (`docker build`), `nerdctl`, `oras` (and Helm); or
    /// `["*"]` for all of them.
    clients: Option<Vec<String>>,
    /// Where the registry sends clients to log in: the realm of its challenge.
    #[schema(example = "https://sso.redhat.com/auth/realms/rhcc/protocol/redhat-docker-v2/auth")]
    auth_realm: Option<String>,
}

/// What to explain of stored credentials: of a pull secret, or of those listed.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"pull_secret": "team-pull", "image": "quay.io/team/app:1"}))]
#[allow(dead_code, reason = "describes what explain::stored reads")]
pub struct ExplainStoredBody {
    /// The pull secret; or `credentials`.
    pull_secret: Option<String>,
    /// Names of credentials; or `pull_secret`.
    credentials: Option<Vec<String>>,
    /// The image, as it is written in a pod.
    #[schema(example = "quay.io/team/app:1")]
    image: String,
    /// `kubelet`, `containers-image`, `docker`, `openshift-import`, which answer unless others are asked;
    /// `ggcr` (kaniko, crane, ko, cosign), `buildkit` (`docker build`), `nerdctl`, `oras` (and Helm); or
    /// `["*"]` for all of them.
    clients: Option<Vec<String>>,
    /// Where the registry sends clients to log in; the credential's auth server unless given.
    auth_realm: Option<String>,
}

/// Explains which credential of an auth file a client would use
///
/// Nothing is stored. The answer holds the file's own keys and user names, and no secret.
#[utoipa::path(post, path = "/v1/explain", tag = "auth files",
    request_body = ExplainBody,
    responses((status = 200, description = "What each client would do", body = Report)))]
pub async fn auth_file(Entered(_scope): Entered, body: VerbatimBody) -> Answer<Json<Report>> {
    let (file, ask) = read_auth_file(body.part("auth_file")?)?;
    Ok(Json(ask.about(&file)?))
}

/// Explains which stored credential a client would use
///
/// The answer holds names and keys, and no secret.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/explain", tag = "auth files",
    params(super::openapi::TenantParam),
    request_body = ExplainStoredBody,
    responses((status = 200, description = "What each client would do", body = Report)))]
pub async fn stored(
    State(app): State<App>,
    Entered(scope): Entered,
    body: JsonBody,
) -> Answer<Json<Report>> {
    let (source, ask) = read_stored(body.json).map_err(Problem::invalid)?;
    Ok(Json(app.broker.explain(&scope, &source, &ask).await?))
}

/// How to read the file.
enum Format {
    Auto,
    Given(FileFormat),
}

fn read_auth_file(body: Parted) -> Answer<(Parsed, Ask)> {
    let mut form = Form::new(body.rest, "");
    let is_file = |value| match value {
        Document::Text(_) | Document::Object(_) => Ok(()),
        other => Err(wrong_type("an object or a string", &other)),
    };
    let is_there = form.required("auth_file", is_file);
    let format = form.optional("format", form::parsed(read_format));
    let ask = read_ask(&mut form);
    let read = is_there.and(body.file).zip(ask);
    let (text, ask) = form.finish(read).map_err(Problem::invalid)?;
    let format = match format {
        Some(Format::Given(format)) => format,
        Some(Format::Auto) | None => FileFormat::detect(&text),
    };
    Ok((AuthFile::parse(&text, format), ask))
}

fn read_format(text: &str) -> Result<Format, Fault> {
    match text {
        "auto" => Ok(Format::Auto),
        "docker-config" | "podman-auth" => Ok(Format::Given(FileFormat::Config)),
        "dockercfg" => Ok(Format::Given(FileFormat::Dockercfg)),
        _ => Err(Fault::new(
            "invalid-format",
            "expected auto, docker-config, podman-auth or dockercfg",
        )),
    }
}

fn read_stored(document: Document) -> Result<(Source, Ask), Vec<Mistake>> {
    let mut form = Form::new(document, "");
    let source = read_source(&mut form);
    let ask = read_ask(&mut form);
    form.finish(source.zip(ask))
}

/// Exactly one of `pull_secret` and `credentials`.
fn read_source(form: &mut Form) -> Option<Source> {
    let both = form.has("pull_secret") && form.has("credentials");
    if both {
        let fault = Fault::new("one-of", "name a pull secret or credentials, not both");
        form.report("credentials", fault);
    }
    let pull_secret = match form.has("credentials") {
        true => form.optional("pull_secret", form::parsed(Name::parse)),
        false => form.required("pull_secret", form::parsed(Name::parse)),
    };
    let credentials = form.list("credentials", |item| form::parsed(Name::parse)(item));
    if credentials.as_ref().is_some_and(Vec::is_empty) {
        let fault = Fault::new("required", "name at least one credential");
        form.report("credentials", fault);
    }
    match (pull_secret, credentials) {
        (Some(name), None) => Some(Source::PullSecret(name)),
        (None, Some(mut names)) => {
            let mut seen = HashSet::new();
            names.retain(|name| seen.insert(name.clone()));
            Some(Source::AdHoc(Box::new(listing(names))))
        }
        _ => None,
    }
}

fn listing(credentials: Vec<Name>) -> PullSecretSpec {
    PullSecretSpec {
        credentials,
        selector: None,
        on_conflict: OnConflict::Reject,
        layout: Layout::Merged,
        target: Target::default(),
    }
}

fn read_ask(form: &mut Form) -> Option<Ask> {
    let image = form.required("image", form::text);
    let clients = form.list("clients", |item| form::parsed(clients_named)(item));
    if clients.as_ref().is_some_and(Vec::is_empty) {
        form.report(
            "clients",
            Fault::new("required", "name at least one client, or * for all"),
        );
    }
    let realm = form.optional("auth_realm", form::parsed(Realm::parse));
    Some(Ask {
        image: image?,
        clients: match clients {
            Some(clients) => clients.concat(),
            None => usual_clients().to_vec(),
        },
        realm,
    })
}

/// A client by its name; `*` are all of them.
fn clients_named(name: &str) -> Result<Vec<&'static dyn Client>, Fault> {
    match name {
        "*" => Ok(CLIENTS.to_vec()),
        name => Ok(vec![client_named(name)?]),
    }
}
