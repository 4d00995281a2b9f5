//! The OpenAPI document: what is not of one operation.

use std::collections::BTreeMap;

use utoipa::openapi::path::{HttpMethod, PathItem, PathItemBuilder, Paths};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder, RefOr, Schema, Server};
use utoipa::{PartialSchema, ToSchema};

use super::problem::ProblemBody;
use super::route::{Route, Tag};

pub mod describe;
mod presence;

/// The document of these routes.
pub fn document(routes: Vec<Route>) -> OpenApi {
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    let mut of_problems = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut of_problems);
    schemas.extend(of_problems);
    let mut paths = Paths::new();
    for route in routes {
        let seen = route.schemas.into_iter();
        schemas.extend(seen.map(|(name, schema)| (name, presence::answered(schema))));
        let item = paths
            .paths
            .entry(route.path.to_owned())
            .or_insert_with(|| PathItemBuilder::new().build());
        set(item, &method(&route.method), route.operation);
    }
    let mut components = Components::new();
    components.schemas = schemas;
    components.add_security_scheme("token", bearer());
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components))
        .tags(Some(Tag::ALL.map(|tag| {
            TagBuilder::new()
                .name(tag.name())
                .description(Some(tag.text()))
                .build()
        })))
        .build()
}

fn method(method: &axum::http::Method) -> HttpMethod {
    match method.as_str() {
        "PUT" => HttpMethod::Put,
        "POST" => HttpMethod::Post,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn set(item: &mut PathItem, method: &HttpMethod, operation: utoipa::openapi::path::Operation) {
    let place = match method {
        HttpMethod::Put => &mut item.put,
        HttpMethod::Post => &mut item.post,
        HttpMethod::Patch => &mut item.patch,
        HttpMethod::Delete => &mut item.delete,
        _ => &mut item.get,
    };
    *place = Some(operation);
}

fn bearer() -> SecurityScheme {
    let text = "A regcred token (rgc_ and 49 letters and digits), or a JSON Web Token of a configured identity provider.";
    SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(text))
            .build(),
    )
}

fn info() -> Info {
    let mut info = Info::new("regcred", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "A credential broker for container registries: credentials are stored once, encrypted, and rendered \
         on request as the pull secrets that Kubernetes, OpenShift, Docker and Podman need."
            .into(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".into());
    info.license = Some(license);
    info
}

impl Tag {
    /// Every part, in the document's order.
    pub const ALL: [Self; 14] = [
        Self::Credentials,
        Self::PullSecrets,
        Self::Manifests,
        Self::Links,
        Self::Imports,
        Self::Verification,
        Self::AuthFiles,
        Self::Tenants,
        Self::Tokens,
        Self::RoleBindings,
        Self::Audit,
        Self::Callers,
        Self::Platform,
        Self::Health,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        self.name_and_text().0
    }

    fn text(self) -> &'static str {
        self.name_and_text().1
    }

    fn name_and_text(self) -> (&'static str, &'static str) {
        match self {
            Self::Credentials => (
                "credentials",
                "Registry accounts, stored once and encrypted; no answer holds a secret.",
            ),
            Self::PullSecrets => (
                "pull secrets",
                "Which credentials go together, laid out how and for whom; and who fetched them.",
            ),
            Self::Manifests => (
                "manifests",
                "Rendering: what Kubernetes, OpenShift, Docker and Podman read.",
            ),
            Self::Links => (
                "links",
                "URLs that render a pull secret a number of times without a token.",
            ),
            Self::Imports => (
                "imports",
                "Taking over auth files and Secrets that teams have.",
            ),
            Self::Verification => (
                "verification",
                "Asking registries how they authenticate, and whether a credential logs in.",
            ),
            Self::AuthFiles => (
                "auth files",
                "Which credential a client would use, and what it would refuse.",
            ),
            Self::Tenants => (
                "tenants",
                "Teams that share credentials and keep them from others.",
            ),
            Self::Tokens => ("tokens", "A tenant's own tokens."),
            Self::RoleBindings => (
                "role bindings",
                "Which callers of an identity provider hold a role in a tenant.",
            ),
            Self::Audit => ("audit", "What was done, tried and denied in a tenant."),
            Self::Callers => ("callers", "Who the caller is."),
            Self::Platform => (
                "platform",
                "Identity providers, the platform's tokens and its audit trail.",
            ),
            Self::Health => ("health", "Whether the process lives and can work."),
        }
    }
}
