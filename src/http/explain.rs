//! `/v1/explain` and `/v1/tenants/{tenant}/explain`: which credential a client would use, and why.

use axum::extract::State;
use axum::http::Method;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::App;
use super::body::{JsonBody, MOST_BYTES, Parted, VerbatimBody};
use super::gate::Entered;
use super::problem::{Answer, Problem};
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::auth_file::explain::realm::Realm;
use crate::auth_file::explain::report::Report;
use crate::auth_file::explain::{CLIENTS, Client, client_named, usual_clients};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::broker::explain::Ask;
use crate::broker::manifests::Source;
use crate::model::body::{Content, List, Set, Text, body};
use crate::model::json::Json;
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::model::pull_secret::{Layout, MOST_CREDENTIALS, OnConflict, PullSecretSpec, Target};
use crate::model::spelled::spelled;
use crate::text_wire;

body! {
    /// What to explain of an auth file.
    pub struct ExplainBody { whole: "ExplainInput"; }
    fields {
        /// The file: the JSON object that it holds, or its text. Read as the clients read it: names given twice,
        /// deep nesting and broken Unicode are not lost.
        auth_file: Json as Content, required;
        /// How to read the file; `auto` unless given.
        format: FileForm, default;
        /// What is asked.
        ask: AskFields, flat;
    }
    example {
        "auth_file": {"auths": {"quay.io": {"auth": "dGVhbTpzM2NyZXQ="}, "quay.io/team": {"auth": "cm9ib3Q6czNjcmV0"}}},
        "image": "quay.io/team/app:1", "clients": ["kubelet", "docker"]
    }
}

body! {
    /// What to explain of stored credentials: of a pull secret, or of those listed.
    pub struct ExplainStoredBody { whole: "ExplainStoredInput"; }
    fields {
        /// The pull secret; or `credentials`.
        pull_secret: Option<Name>, optional;
        /// Names of credentials; or `pull_secret`.
        credentials: Option<Vec<Name>> as Set<Name, 1, MOST_CREDENTIALS>, optional;
        /// What is asked.
        ask: AskFields, flat;
    }
    rules(form) {
        match (form.has("pull_secret"), form.has("credentials")) {
            (true, true) => {
                let fault = Fault::new("one-of", "name a pull secret or credentials, not both");
                form.report("credentials", fault);
            }
            (false, false) if form.is_object() => {
                form.report("pull_secret", Fault::new("required", "this field is required"));
            }
            _ => {}
        }
    }
    example {"pull_secret": "team-pull", "image": "quay.io/team/app:1"}
}

body! {
    /// What is asked of clients.
    pub struct AskFields {}
    fields {
        /// The image, as it is written in a pod.
        image: String as Text<0, MOST_BYTES>, required;
        /// The clients to ask; unless given, `kubelet`, `containers-image`, `docker` and `openshift-import` answer. `ggcr` is
        /// kaniko, crane, ko and cosign, `buildkit` is `docker build`, `oras` also Helm; `*` are all of them.
        clients: Option<Vec<Vec<&'static dyn Client>>> as List<ClientName, 1, 64>, optional;
        /// Where the registry sends clients to log in: the realm of its challenge. Over stored credentials, the
        /// credential's auth server unless given.
        auth_realm: Option<Realm>, optional;
    }
}

spelled! {
    /// How an auth file is read.
    #[derive(Default)]
    pub enum FileForm: "AuthFileForm" or "invalid-format" {
        /// By what is in it.
        #[default]
        Auto = "auto",
        /// Entries under `auths`.
        DockerConfig = "docker-config",
        /// The same.
        PodmanAuth = "podman-auth",
        /// Nothing but entries.
        DockerCfg = "dockercfg",
    }
}

/// A client by its name.
pub struct ClientName;

text_wire!(
    ClientName => Vec<&'static dyn Client>,
    clients_named,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(CLIENTS.iter().map(|client| client.name()).chain(["*"])))
);

/// A client by its name; `*` are all of them.
fn clients_named(name: &str) -> Result<Vec<&'static dyn Client>, Fault> {
    match name {
        "*" => Ok(CLIENTS.to_vec()),
        name => Ok(vec![client_named(name)?]),
    }
}

impl AskFields {
    fn into_ask(self) -> Ask {
        Ask {
            image: self.image,
            clients: match self.clients {
                Some(clients) => clients.concat(),
                None => usual_clients().to_vec(),
            },
            realm: self.auth_realm,
        }
    }
}

/// The routes that explain.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, "/v1/explain", "explainAuthFile", Tag::AuthFiles)
            .says(
                "Explains which credential of an auth file a client would use",
                "Nothing is stored. The answer holds the file's own keys and user names, and no secret.",
            )
            .body::<ExplainBody>()
            .answers::<Report>(200, "What each client would do")
            .may(Action::Explain)
            .to(auth_file),
        route(Method::POST, "/v1/tenants/{tenant}/explain", "explainStored", Tag::AuthFiles)
            .says(
                "Explains which stored credential a client would use",
                "The answer holds names and keys, and no secret.",
            )
            .body::<ExplainStoredBody>()
            .answers::<Report>(200, "What each client would do")
            .problem(409, "`registry-path-conflict`: two accounts for one path")
            .may(Action::ExplainStored)
            .to(stored),
    ]
}

async fn auth_file(Entered(_scope): Entered, body: VerbatimBody) -> Answer<axum::Json<Report>> {
    let Parted { rest, file } = body.part("auth_file")?;
    let body = ExplainBody::read(rest).map_err(Problem::invalid)?;
    // What the body was read from stands for the file, which is read as it was sent.
    let text = file.unwrap_or_default();
    let format = match body.format {
        FileForm::DockerConfig | FileForm::PodmanAuth => FileFormat::Config,
        FileForm::DockerCfg => FileFormat::Dockercfg,
        FileForm::Auto => FileFormat::detect(&text),
    };
    let file = AuthFile::parse(&text, format);
    Ok(axum::Json(body.ask.into_ask().about(&file)?))
}

async fn stored(
    State(app): State<App>,
    Entered(scope): Entered,
    body: JsonBody,
) -> Answer<axum::Json<Report>> {
    let body: ExplainStoredBody = body.read()?;
    let source = match body.pull_secret {
        Some(name) => Source::PullSecret(name),
        None => Source::AdHoc(Box::new(listing(body.credentials.unwrap_or_default()))),
    };
    let ask = body.ask.into_ask();
    Ok(axum::Json(app.broker.explain(&scope, &source, &ask).await?))
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
