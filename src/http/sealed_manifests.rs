//! Rendering by POST: what is stored nowhere, and with a certificate in the body, `format=sealed-secret`.

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use time::OffsetDateTime;

use super::App;
use super::asking::Asking;
use super::body::JsonBody;
use super::gate::{Entered, known_name};
use super::manifests::{Asked, MEDIA_TYPES, RenderParams, answer, options, rendering};
use super::problem::{Answer, Problem};
use super::query::Params;
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::manifests::{Options, Source};
use crate::model::body::{Body, Text, body};
use crate::model::form::Form;
use crate::model::mistake::{Fault, Mistakes};
use crate::model::name::Name;
use crate::model::pull_secret::PullSecretSpec;
use crate::render::Format;
use crate::render::inputs::Inputs;
use crate::render::sealing::{Sealing, SealingKey, SealingScope};

const OF_PULL_SECRET: &str = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/manifest";
const OF_CREDENTIAL: &str = "/v1/tenants/{tenant}/credentials/{credential}/manifest";
const AD_HOC: &str = "/v1/tenants/{tenant}/manifest";

type Pem = Text<1, { super::body::MOST_BYTES }>;

body! {
    /// How to render, and for whom to seal.
    #[derive(Debug, Clone)]
    pub struct SealFields {}
    fields {
        /// How to render.
        render: RenderParams, flat;
        /// Where a sealed value can be unsealed; otherwise as the target's annotations say, else strict.
        scope: Option<SealingScope>, optional;
    }
    rules(form) {
        let seals = render.as_ref().is_some_and(|render| render.fields.format == Format::SealedSecret);
        if scope.is_some() && !seals {
            let fault = Fault::new("not-allowed", "only sealed-secret has a scope");
            form.report("scope", fault);
        }
    }
}

body! {
    /// The certificate of a Sealed Secrets controller.
    pub struct SealingBody { whole: "SealingInput"; }
    fields {
        /// PEM, as `kubeseal --fetch-cert` prints it: an RSA key of at least 2048 bits, within its time. With
        /// `format=sealed-secret` only, and needed there.
        certificate: Option<String> as Pem, optional;
    }
    example {"certificate": include_str!("example_certificate.pem")}
}

body! {
    /// A pull secret that is stored nowhere.
    pub struct AdHocBody { whole: "ManifestInput"; }
    fields {
        /// What to render.
        spec: PullSecretSpec, flat;
        /// With `format=sealed-secret` only, and needed there: the controller's certificate, PEM.
        certificate: Option<String> as Pem, optional;
    }
    example {
        "credentials": ["connect"],
        "target": {"namespace": "default", "secret_name": "team-pull", "service_accounts": ["default"]}
    }
}

/// The routes that render by POST.
pub fn routes() -> Vec<Route> {
    let on = |path, id| {
        rendering(route(Method::POST, path, id, Tag::Manifests).query::<SealFields>())
            .renders(&MEDIA_TYPES)
            .revalidates()
            .waits()
    };
    vec![
        on(OF_PULL_SECRET, "sealPullSecret")
            .says(
                "Seals a pull secret for a cluster",
                "With `format=sealed-secret`: SealedSecrets that only the controller of the certificate opens. The \
                 bytes differ each time, because each has a key of its own; the entity tag changes when what is \
                 sealed does.",
            )
            .body::<SealingBody>()
            .only("format", &[Format::SealedSecret.as_str()])
            .may(Action::RenderPullSecret)
            .to(|app, who, path, asking, params, body| {
                sealed(app, who, path, asking, params, body, Source::PullSecret)
            }),
        on(OF_CREDENTIAL, "sealCredential")
            .says(
                "Seals one credential for a cluster",
                "With `format=sealed-secret`, as for a pull secret. A credential has no namespace of its own: \
                 `namespace` is needed unless the scope is cluster-wide.",
            )
            .body::<SealingBody>()
            .only("format", &[Format::SealedSecret.as_str()])
            .needs("namespace")
            .may(Action::RenderAnything)
            .to(|app, who, path, asking, params, body| {
                sealed(app, who, path, asking, params, body, Source::Credential)
            }),
        on(AD_HOC, "renderAdHoc")
            .says(
                "Renders stored credentials without storing a pull secret",
                "With `format=sealed-secret` the body also holds the controller's `certificate`.",
            )
            .body::<AdHocBody>()
            .may(Action::RenderAnything)
            .to(ad_hoc),
    ]
}

async fn sealed(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    asking: Asking,
    params: Params<SealFields>,
    body: JsonBody,
    source: fn(Name) -> Source,
) -> Answer<Response> {
    let source = source(known_name(&name)?);
    let mut all = Both::new(params);
    let mut form = Form::new(body.json);
    let body = SealingBody::read_fields(&mut form);
    let certificate = body.and_then(|body| body.certificate);
    all.seal(&mut form, certificate, app.broker.now());
    all.mistakes
        .append(form.finish(Some(())).err().unwrap_or_default());
    let options = all.finish(&asking)?;
    answer(&app, &scope, asking, Asked { options, source }).await
}

async fn ad_hoc(
    State(app): State<App>,
    Entered(scope): Entered,
    asking: Asking,
    params: Params<SealFields>,
    body: JsonBody,
) -> Answer<Response> {
    let mut all = Both::new(params);
    let mut form = Form::new(body.json);
    let (spec, certificate) = match AdHocBody::read_fields(&mut form) {
        Some(AdHocBody { spec, certificate }) => (Some(spec), certificate),
        None => (None, None),
    };
    all.seal(&mut form, certificate, app.broker.now());
    all.mistakes
        .append(form.finish(Some(())).err().unwrap_or_default());
    if let Some(spec) = spec.as_ref().filter(|_| !all.mistakes.is_empty()) {
        let unknown = app.broker.unknown_listed(&scope, spec).await?;
        all.mistakes.append(unknown);
    }
    let options = all.finish(&asking)?;
    let spec = spec.ok_or_else(|| Problem::invalid(Mistakes::default()))?;
    let source = Source::AdHoc(Box::new(spec));
    answer(&app, &scope, asking, Asked { options, source }).await
}

/// A query and a body, whose mistakes are told together.
struct Both {
    fields: Option<SealFields>,
    key: Option<SealingKey>,
    mistakes: Mistakes,
}

impl Both {
    fn new(Params(read): Params<SealFields>) -> Self {
        let (fields, mistakes) = match read {
            Ok(fields) => (Some(fields), Mistakes::default()),
            Err(mistakes) => (None, mistakes),
        };
        Self {
            fields,
            key: None,
            mistakes,
        }
    }

    /// Reads the certificate, which one format needs and the others have no place for.
    fn seal(&mut self, form: &mut Form, certificate: Option<String>, now: OffsetDateTime) {
        let Some(fields) = &self.fields else {
            return;
        };
        let fault = match (certificate, fields.render.fields.format) {
            (Some(pem), Format::SealedSecret) => match SealingKey::parse(&pem, now) {
                Ok(key) => {
                    self.key = Some(key);
                    return;
                }
                Err(fault) => fault,
            },
            (None, Format::SealedSecret) if !form.has("certificate") => Fault::new(
                "required",
                "sealed-secret needs the controller's certificate",
            ),
            (Some(_), _) => Fault::new("unknown-field", "only sealed-secret takes a certificate"),
            (None, _) => return,
        };
        form.report("certificate", fault);
    }

    fn finish(self, asking: &Asking) -> Answer<Options> {
        self.mistakes.none_or_err().map_err(Problem::invalid)?;
        let fields = self
            .fields
            .ok_or_else(|| Problem::invalid(Mistakes::default()))?;
        let options = options(fields.render, &asking.headers)?;
        Ok(match self.key {
            Some(key) => Options {
                inputs: Inputs::Sealing(Sealing::new(key, fields.scope)),
                ..options
            },
            None => options,
        })
    }
}
