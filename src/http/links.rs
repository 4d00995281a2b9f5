//! What links Secrets to those who pull, and holds no secret.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::body::JsonBody;
use super::gate::{Entered, known_name};
use super::problem::{Answer, Problem};
use super::query::Query;
use crate::model::json::Json as Document;
use crate::model::mistake::Fault;
use crate::model::name::{Namespace, ObjectName};
use crate::model::pull_secret::ServiceAccounts;
use crate::render::image_puller::{self, Grant};
use crate::render::link::{Link, ServiceAccountObject};
use crate::render::{Format, Output};

/// Renders image-puller bindings without a pull secret
///
/// Grants `system:image-puller` in the namespaces `pull_from` to service accounts of `namespace`.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/image-puller", tag = "manifests",
    params(super::openapi::TenantParam,
        ("namespace" = String, Query, description = "Namespace of those who pull", example = "project-a"),
        ("service_account" = Option<Vec<String>>, Query, description = "Who pulls; `*` or none means every service account", example = json!(["default"])),
        ("pull_from" = Vec<String>, Query, description = "Namespaces of the images", example = json!(["project-b"])),
        ("output" = Option<String>, Query, description = "`yaml` or `json`", example = "yaml")),
    responses((status = 200, description = "RoleBindings", content(
        (String = "application/yaml"), (Object = "application/json")))))]
pub async fn image_puller(
    Entered(_scope): Entered,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    let namespace = query.required("namespace", Namespace::parse);
    let names = query.all("service_account", |text| Ok(text.to_owned()));
    let service_accounts = service_accounts(&mut query, &names);
    let pull_from = query.all("pull_from", Namespace::parse);
    if pull_from.is_empty() {
        query.report(
            "pull_from",
            Fault::new("required", "name at least one namespace"),
        );
    }
    let asked = query.optional("output", |text| match text {
        "yaml" => Ok(Output::Yaml),
        "json" => Ok(Output::Json),
        _ => Err(Fault::new("invalid-output", "expected yaml or json")),
    });
    query.finish()?;
    let namespace = namespace.ok_or_else(|| Problem::invalid(Vec::new()))?;
    let output = super::manifests::output(Format::ImagePuller, asked, &headers)?;
    let grant = Grant {
        namespace,
        service_accounts,
        pull_from,
    };
    let rendered =
        image_puller::render_grant(&grant, output).map_err(crate::broker::Error::from)?;
    Ok((
        [(header::CONTENT_TYPE, rendered.media_type)],
        rendered.bytes.to_vec(),
    )
        .into_response())
}

fn service_accounts(query: &mut Query, names: &[String]) -> ServiceAccounts {
    if names.iter().all(|name| name == "*") {
        return ServiceAccounts::All;
    }
    let mut accounts = Vec::new();
    for name in names {
        match ObjectName::parse(name) {
            Ok(name) if !accounts.contains(&name) => accounts.push(name),
            Ok(_) => {}
            Err(fault) => query.report("service_account", fault),
        }
    }
    ServiceAccounts::Named(accounts)
}

/// Links a pull secret to a ServiceAccount
///
/// Takes the current ServiceAccount and answers what to change. `imagePullSecrets` is one list to the
/// API server: applying a partial ServiceAccount would drop the entries of others.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/service-account-link", tag = "manifests",
    params(super::openapi::PullSecretParam),
    request_body(content = Object, example = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "default", "resourceVersion": "41"},
        "imagePullSecrets": [{"name": "default-dockercfg-x7k2p"}]})),
    responses((status = 200, description = "What to change", body = Link)))]
pub async fn service_account_link(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    body: JsonBody,
) -> Answer<Json<Link>> {
    let name = known_name(&name)?;
    let current = ServiceAccountObject::read(plain(body.json)).map_err(Problem::invalid)?;
    Ok(Json(app.broker.link(&scope, &name, current).await?))
}

/// A body that holds no secrets, as serde_json has it.
fn plain(document: Document) -> serde_json::Value {
    match document {
        Document::Null | Document::Kept => serde_json::Value::Null,
        Document::Bool(value) => value.into(),
        Document::Number(value) => value.into(),
        Document::Text(value) => value.as_str().into(),
        Document::List(items) => items.into_iter().map(plain).collect(),
        Document::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect(),
    }
}
