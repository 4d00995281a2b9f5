//! Rendering with a certificate in the body: `format=sealed-secret`.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::asking::Asking;
use super::body::JsonBody;
use super::gate::{Entered, known_name};
use super::manifests::{Asked, answer, options};
use super::problem::{Answer, Problem};
use super::query::Query;
use crate::broker::manifests::{Options, Source};
use crate::model::form::{self, Form};
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};
use crate::render::Format;
use crate::render::inputs::Inputs;
use crate::render::sealing::{Sealing, SealingKey, SealingScope};

/// The certificate of a Sealed Secrets controller.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"certificate": include_str!("example_certificate.pem")}))]
pub struct SealingBody {
    /// PEM, as `kubeseal --fetch-cert` prints it: an RSA key of at least 2048 bits, within its time.
    pub certificate: String,
}

/// Seals a pull secret for a cluster
///
/// With `format=sealed-secret`: SealedSecrets that only the controller of the certificate opens. The
/// bytes differ each time, because each has a key of its own; the entity tag changes when what is
/// sealed does.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/manifest", tag = "manifests",
    params(super::openapi::PullSecretParam, super::openapi::SealParams, super::openapi::RenderConditions,
        ("namespace" = Option<String>, Query, description = "Namespace of the objects", example = "default")),
    request_body = SealingBody,
    responses((status = 200, description = "The manifest", content(
        (String = "application/yaml"), (Object = "application/json")))))]
pub async fn of_pull_secret(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    asking: Asking,
    query: Query,
    body: JsonBody,
) -> Answer<Response> {
    let source = Source::PullSecret(known_name(&name)?);
    let wanted = Wanted::read(query, &asking.headers)?;
    let asked = wanted.with_body(&app, body.json, source)?;
    answer(&app, &scope, asking, asked).await
}

/// Seals one credential for a cluster
///
/// With `format=sealed-secret`, as for a pull secret. A credential has no namespace of its own.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/credentials/{credential}/manifest", tag = "manifests",
    params(super::openapi::CredentialParam, super::openapi::SealParams, super::openapi::RenderConditions,
        ("namespace" = String, Query, description = "Namespace of the objects; needed unless the scope is cluster-wide", example = "default")),
    request_body = SealingBody,
    responses((status = 200, description = "The manifest", content(
        (String = "application/yaml"), (Object = "application/json")))))]
pub async fn of_credential(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    asking: Asking,
    query: Query,
    body: JsonBody,
) -> Answer<Response> {
    let source = Source::Credential(known_name(&name)?);
    let wanted = Wanted::read(query, &asking.headers)?;
    let asked = wanted.with_body(&app, body.json, source)?;
    answer(&app, &scope, asking, asked).await
}

/// What the query of a POST asks for.
pub(super) struct Wanted {
    options: Options,
    scope: Option<SealingScope>,
}

impl Wanted {
    /// Reads the query: that of a GET, and `scope`.
    pub(super) fn read(mut query: Query, headers: &HeaderMap) -> Answer<Self> {
        let scope = query.optional("scope", SealingScope::parse);
        let options = options(query, headers)?;
        if scope.is_some() && options.format != Format::SealedSecret {
            let fault = Fault::new("not-allowed", "only sealed-secret has a scope");
            return Err(Problem::invalid(vec![fault.at("/scope")]));
        }
        Ok(Self { options, scope })
    }

    /// Reads a body that holds nothing but what the format needs.
    ///
    /// # Errors
    /// `validation-failed`.
    pub(super) fn with_body(self, app: &App, body: Json, source: Source) -> Answer<Asked> {
        let options = if self.options.format == Format::SealedSecret {
            self.with_certificate(app, body)
        } else {
            Form::new(body, "").finish(Some(self.options))
        };
        let options = options.map_err(Problem::invalid)?;
        Ok(Asked { options, source })
    }

    /// Reads a body that is something else's, with what the format needs beside; the mistakes of both
    /// are reported together.
    pub(super) fn with_body_of<T>(
        self,
        app: &App,
        body: Json,
        read: impl FnOnce(Json) -> Result<T, Vec<Mistake>>,
    ) -> Result<(Options, T), Vec<Mistake>> {
        let Json::Object(members) = body else {
            return read(body).map(|value| (self.options, value));
        };
        if self.options.format != Format::SealedSecret {
            return read(Json::Object(members)).map(|value| (self.options, value));
        }
        let (mine, others) = members
            .into_iter()
            .partition(|(name, _)| name == "certificate");
        let options = self.with_certificate(app, Json::Object(mine));
        match (options, read(Json::Object(others))) {
            (Ok(options), Ok(value)) => Ok((options, value)),
            (options, value) => Err(options
                .err()
                .into_iter()
                .chain(value.err())
                .flatten()
                .collect()),
        }
    }

    fn with_certificate(self, app: &App, body: Json) -> Result<Options, Vec<Mistake>> {
        let mut form = Form::new(body, "");
        let now = app.broker.now();
        let key = form.required(
            "certificate",
            form::parsed(|pem| SealingKey::parse(pem, now)),
        );
        let key = form.finish(key)?;
        Ok(Options {
            inputs: Inputs::Sealing(Sealing::new(key, self.scope)),
            ..self.options
        })
    }
}
