//! kubelet's credential provider.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::body::JsonBody;
use super::gate::{Entered, known_name};
use super::manifests::document;
use super::problem::{Answer, Problem};
use crate::broker::manifests::{Options, Source};
use crate::model::form::{self, Form};
use crate::model::json::Json;
use crate::model::labels::Labels;
use crate::model::mistake::{Fault, Mistake};
use crate::model::pulled_image::PulledImage;
use crate::render::credential_provider::API_VERSION;

const KIND: &str = "CredentialProviderRequest";

/// What kubelet asks its plugin.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest",
    "image": "privateregistry.example.com/team/app"
}))]
pub struct CredentialProviderRequest {
    /// `credentialprovider.kubelet.k8s.io/v1`.
    pub api_version: String,
    /// `CredentialProviderRequest`.
    pub kind: String,
    /// The image that is pulled.
    pub image: String,
    /// Taken as kubelet sends it, and not used: the caller is who the `Authorization` header names.
    pub service_account_token: Option<String>,
    /// Taken as kubelet sends them, and not used.
    pub service_account_annotations: Option<Labels>,
}

/// The answer for kubelet. It holds secrets.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialProviderResponse {
    /// `credentialprovider.kubelet.k8s.io/v1`.
    pub api_version: String,
    /// `CredentialProviderResponse`.
    pub kind: String,
    /// `Image`, or `Registry` where every image of the host gets the same.
    #[schema(example = "Image")]
    pub cache_key_type: String,
    /// How long kubelet keeps the answer: at most five minutes, not past the end of a credential, and
    /// not at all if it is empty.
    #[schema(example = "300s")]
    pub cache_duration: String,
    /// User names and passwords by the registry paths that match the image.
    #[schema(value_type = Object, example = json!({"quay.io/team": {"username": "team+robot", "password": "s3cret"}}))]
    pub auth: serde_json::Value,
}

/// Answers kubelet's credential provider
///
/// Only the credentials that match the image as kubelet matches them. Identity and registry tokens
/// cannot be told to kubelet and are left out, which `X-Regcred-Warnings` says. A rendering: it is in
/// the audit trail before the answer leaves.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/credential-provider", tag = "manifests",
    params(super::openapi::PullSecretParam),
    request_body = CredentialProviderRequest,
    responses((status = 200, description = "What kubelet may pull with", body = CredentialProviderResponse)))]
pub async fn credential_provider(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    body: JsonBody,
) -> Answer<Response> {
    let name = known_name(&name)?;
    let image = read(body.json).map_err(Problem::invalid)?;
    let options = Options::for_pull_of(image);
    let source = Source::PullSecret(name);
    Ok(document(
        app.broker.manifest(&scope, &source, &options).await?,
    ))
}

fn read(body: Json) -> Result<PulledImage, Vec<Mistake>> {
    let mut form = Form::new(body, "");
    form.required("apiVersion", exactly(API_VERSION));
    form.required("kind", exactly(KIND));
    let image = form.required("image", form::parsed(PulledImage::parse));
    form.optional("serviceAccountToken", form::text);
    form.map("serviceAccountAnnotations", |_, value| form::text(value));
    form.finish(image)
}

fn exactly(expected: &'static str) -> impl FnOnce(Json) -> Result<(), Fault> {
    move |value| {
        if form::text(value)? == expected {
            Ok(())
        } else {
            Err(Fault::new("invalid-value", format!("expected {expected}")))
        }
    }
}
