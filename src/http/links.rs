//! What links Secrets to those who pull, and holds no secret.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::body::JsonBody;
use super::gate::{Entered, known_name};
use super::problem::{Answer, Problem};
use super::query::Params;
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::model::body::{List, body};
use crate::model::json::Json as Document;
use crate::model::name::Namespace;
use crate::model::pull_secret::ServiceAccounts;
use crate::render::image_puller::{self, Grant};
use crate::render::link::{Link, ServiceAccountObject};
use crate::render::{Format, Output};

const IMAGE_PULLER: &str = "/v1/tenants/{tenant}/image-puller";
const SERVICE_ACCOUNT_LINK: &str =
    "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/service-account-link";

/// Most names in one list of the query.
const MOST_NAMES: usize = 500;

body! {
    /// Whom to let pull images of the cluster's own registry.
    pub struct PullerFields {}
    fields {
        /// Namespace of those who pull.
        namespace: Namespace, required;
        /// Who pulls; `*` or none means every service account.
        service_account: Option<ServiceAccounts>, optional;
        /// Namespaces of the images.
        pull_from: Vec<Namespace> as List<Namespace, 1, MOST_NAMES>, required;
        /// How the document is written; otherwise as `Accept` says.
        output: Option<Output>, optional;
    }
}

/// The routes of what holds no secret.
pub fn routes() -> Vec<Route> {
    let account = serde_json::json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "default", "resourceVersion": "41"},
        "imagePullSecrets": [{"name": "default-dockercfg-x7k2p"}]
    });
    vec![
        route(Method::GET, IMAGE_PULLER, "renderImagePuller", Tag::Manifests)
            .says(
                "Renders image-puller bindings without a pull secret",
                "Grants `system:image-puller` in the namespaces `pull_from` to service accounts of `namespace`.",
            )
            .query::<PullerFields>()
            .renders(&["application/yaml", "application/json"])
            .may(Action::Link)
            .to(image_puller),
        route(Method::POST, SERVICE_ACCOUNT_LINK, "linkServiceAccount", Tag::Manifests)
            .says(
                "Links a pull secret to a ServiceAccount",
                "Takes the current ServiceAccount and answers what to change. `imagePullSecrets` is one list to the \
                 API server: applying a partial ServiceAccount would drop the entries of others.",
            )
            .foreign_body(account)
            .answers::<Link>(200, "What to change")
            .may(Action::Link)
            .to(service_account_link),
    ]
}

async fn image_puller(
    Entered(_scope): Entered,
    headers: HeaderMap,
    params: Params<PullerFields>,
) -> Answer<Response> {
    let fields = params.read()?;
    let output = super::manifests::output(Format::ImagePuller, fields.output, &headers)?;
    let grant = Grant {
        namespace: fields.namespace,
        service_accounts: fields.service_account.unwrap_or(ServiceAccounts::All),
        pull_from: fields.pull_from,
    };
    let rendered =
        image_puller::render_grant(&grant, output).map_err(crate::broker::Error::from)?;
    Ok((
        [(header::CONTENT_TYPE, rendered.media_type)],
        rendered.bytes.to_vec(),
    )
        .into_response())
}

async fn service_account_link(
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
        Document::Null | Document::Kept | Document::Removed => serde_json::Value::Null,
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
