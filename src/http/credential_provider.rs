//! kubelet's credential provider.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use super::App;
use super::body::{JsonBody, MOST_BYTES};
use super::gate::{Entered, known_name};
use super::manifests::document;
use super::problem::Answer;
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::manifests::{Options, Source};
use crate::model::body::{Face, Text, Wire, body};
use crate::model::form::{self, At};
use crate::model::json::Json;
use crate::model::pulled_image::PulledImage;
use crate::model::spelled::spelled;
use crate::model::wire::read_map;
use crate::render::credential_provider::CacheKey;

body! {
    /// What kubelet asks its plugin.
    pub struct CredentialProviderRequest { whole: "CredentialProviderRequest"; }
    fields {
        /// The version of the protocol.
        api_version = "apiVersion": ApiVersion, required;
        /// The kind of the request.
        kind: RequestKind, required;
        /// The image that is pulled.
        image: PulledImage, required;
        /// Taken as kubelet sends it, and not used: the caller is who the `Authorization` header names.
        token = "serviceAccountToken": Option<String> as Text<0, MOST_BYTES>, optional;
        /// Taken as kubelet sends them, and not used.
        annotations = "serviceAccountAnnotations": Option<BTreeMap<String, String>> as AnyTexts, optional;
    }
    example {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest",
        "image": "privateregistry.example.com/team/app"
    }
}

spelled! {
    /// The version of kubelet's protocol.
    pub enum ApiVersion: "CredentialProviderApiVersion" or "invalid-value" {
        /// The only one there is.
        V1 = "credentialprovider.kubelet.k8s.io/v1",
    }
}

spelled! {
    /// The kind of a request of kubelet's.
    pub enum RequestKind: "CredentialProviderRequestKind" or "invalid-value" {
        /// The only one there is.
        Request = "CredentialProviderRequest",
    }
}

spelled! {
    /// The kind of an answer to kubelet.
    pub enum ResponseKind: "CredentialProviderResponseKind" or "invalid-value" {
        /// The only one there is.
        Response = "CredentialProviderResponse",
    }
}

/// Texts by any names.
pub struct AnyTexts;

impl Wire for AnyTexts {
    type Value = BTreeMap<String, String>;

    fn read(json: Json, at: &mut At) -> Option<Self::Value> {
        read_map(json, at, |_, value, at| at.take(form::text(value)))
    }

    fn schema(_: Face) -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(ObjectBuilder::new().schema_type(Type::String)))
            .into()
    }
}

/// An account for kubelet.
#[derive(Serialize, ToSchema)]
pub struct ProvidedAccount {
    /// Who logs in.
    pub username: String,
    /// The secret.
    pub password: String,
}

/// The answer for kubelet. It holds secrets.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialProviderResponse {
    /// The version of the protocol.
    pub api_version: ApiVersion,
    /// What this is to kubelet.
    pub kind: ResponseKind,
    /// Which other images the answer holds for.
    pub cache_key_type: CacheKey,
    /// How long kubelet keeps the answer: at most five minutes, not past the end of a credential, and
    /// not at all if it is empty.
    #[schema(example = "300s")]
    pub cache_duration: String,
    /// User names and passwords by the registry paths that match the image.
    #[schema(example = json!({"quay.io/team": {"username": "team+robot", "password": "s3cret"}}))]
    pub auth: HashMap<String, ProvidedAccount>,
}

const CREDENTIAL_PROVIDER: &str =
    "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/credential-provider";

/// The route of kubelet's plugin.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, CREDENTIAL_PROVIDER, "provideCredentials", Tag::Manifests)
            .says(
                "Answers kubelet's credential provider",
                "Only the credentials that match the image as kubelet matches them. Identity and registry tokens \
                 cannot be told to kubelet and are left out, which `X-Regcred-Warnings` says. A rendering: it is in \
                 the audit trail before the answer leaves.",
            )
            .body::<CredentialProviderRequest>()
            .answers::<CredentialProviderResponse>(200, "What kubelet may pull with")
            .header(200, "ETag")
            .header(200, "X-Regcred-Warnings")
            .problem(409, "`registry-path-conflict`")
            .may(Action::RenderPullSecret)
            .to(credential_provider),
    ]
}

async fn credential_provider(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    body: JsonBody,
) -> Answer<Response> {
    let name = known_name(&name)?;
    let request: CredentialProviderRequest = body.read()?;
    let options = Options::for_pull_of(request.image);
    let source = Source::PullSecret(name);
    Ok(document(
        app.broker.manifest(&scope, &source, &options).await?,
    ))
}
