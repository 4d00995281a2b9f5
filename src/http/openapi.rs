//! The OpenAPI document: what is the same for all operations is added here, once.

use axum::http::Method;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, Info, License, OpenApi, PathItem, Ref, RefOr, Response,
    ResponseBuilder,
};
use utoipa::{IntoParams, ToSchema};

use super::problem::ProblemBody;
use crate::model::mistake::Mistake;

/// `limit` and `page_token`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what page::slice reads")]
pub struct PageParams {
    /// Most items, 1 to 500; 100 unless given.
    #[param(example = 100)]
    limit: Option<i64>,
    /// The `next_page_token` of the page before.
    page_token: Option<String>,
}

/// Filters of a list of credentials. Everything given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what credentials::list reads")]
pub struct CredentialFilters {
    /// This registry path exactly, in any spelling.
    #[param(example = "quay.io/team")]
    registry: Option<String>,
    /// `key=value`; may be given more than once.
    #[param(example = json!(["team=payments"]))]
    label: Option<Vec<String>>,
    /// `accepted`, `rejected`, `unreachable`, `inconclusive` or `unverified`.
    #[param(example = "unverified")]
    verification: Option<String>,
    /// Expires before this time (RFC 3339).
    #[param(example = "2027-01-01T00:00:00Z")]
    expires_before: Option<String>,
}

/// Filters of an audit trail. Everything given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what audit_events::filter reads")]
pub struct AuditFilters {
    /// An action, or with a dot at its end all that begin so.
    #[param(example = "credential.")]
    action: Option<String>,
    /// Id or name of who acted.
    #[param(example = "portal")]
    actor: Option<String>,
    /// What it was done to, or with a slash at its end all below it.
    #[param(example = "pull-secrets/team-pull")]
    target: Option<String>,
    /// `success`, `failure` or `denied`.
    #[param(example = "denied")]
    outcome: Option<String>,
    /// The address that the request came from.
    #[param(example = "192.0.2.7")]
    source: Option<String>,
    /// The `X-Request-Id` of the answer.
    #[param(example = "01939d7e-1f00-7000-8000-000000000001")]
    request_id: Option<String>,
    /// At this time or later (RFC 3339).
    #[param(example = "2027-01-01T00:00:00Z")]
    since: Option<String>,
    /// Before this time (RFC 3339).
    #[param(example = "2027-02-01T00:00:00Z")]
    until: Option<String>,
    /// `json`, a page; or `jsonl`, all events, one a line. Otherwise as `Accept` says.
    #[param(example = "json")]
    output: Option<String>,
}

/// What a read takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what conditional::is_known reads")]
pub struct ReadConditions {
    /// Entity tags that the client has; 304 if one is current.
    #[param(rename = "If-None-Match", example = "\"3\"")]
    if_none_match: Option<String>,
}

/// What a rendering takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what manifests::answer reads")]
pub struct RenderConditions {
    /// Entity tags that the client has; 304 if one is current.
    #[param(
        rename = "If-None-Match",
        example = "\"8f14e45fceea167a5a36dedd4bea2543\""
    )]
    if_none_match: Option<String>,
    /// `wait=N` holds a request with `If-None-Match` for up to N seconds, at most 60, until there is
    /// something else than the client has; `Preference-Applied` in the answer says that it did.
    #[param(rename = "Prefer", example = "wait=30")]
    prefer: Option<String>,
}

/// What a write takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what conditional::precondition reads")]
pub struct WriteConditions {
    /// Write only over this version; 412 otherwise.
    #[param(rename = "If-Match", example = "\"3\"")]
    if_match: Option<String>,
    /// `*` creates only; 412 if there is one already.
    #[param(rename = "If-None-Match", example = "*")]
    if_none_match: Option<String>,
}

/// What a creating POST takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what idempotency::once reads")]
pub struct IdempotencyHeader {
    /// The same key and body within 24 hours give the first answer again; another body is 422.
    #[param(rename = "Idempotency-Key", example = "5f2c7f0e-rotation-17")]
    idempotency_key: Option<String>,
}

/// No parameters.
#[derive(IntoParams)]
pub struct NoParams {}

/// The tenant of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes a path segment")]
pub struct TenantParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
}

/// The tenant and the credential of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct CredentialParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the credential.
    #[param(example = "connect")]
    credential: String,
}

/// The tenant and the pull secret of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct PullSecretParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the pull secret.
    #[param(example = "team-pull")]
    pull_secret: String,
}

/// The identity provider of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes a path segment")]
pub struct ProviderParam {
    /// Name of the identity provider.
    #[param(example = "cluster-a")]
    identity_provider: String,
}

/// The tenant and the role binding of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct BindingParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the role binding.
    #[param(example = "builders")]
    role_binding: String,
}

/// The token of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes a path segment")]
pub struct TokenParam {
    /// Id or name of the token.
    #[param(example = "ci")]
    token: String,
}

/// The tenant, the pull secret and the link of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct LinkParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the pull secret.
    #[param(example = "team-pull")]
    pull_secret: String,
    /// Id of the link.
    #[param(example = "01939d7e-1f00-7000-8000-000000000001")]
    link: String,
}

/// What a rendering takes; each overrides what is stored.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what manifests::options reads")]
pub struct RenderParams {
    /// `secret` unless given; the table in the guide lists all.
    #[param(example = "secret")]
    format: Option<String>,
    /// `merged` or `split`.
    #[param(example = "split")]
    layout: Option<String>,
    /// Namespace of the objects.
    #[param(example = "default")]
    namespace: Option<String>,
    /// Name of the one Secret.
    #[param(example = "team-pull")]
    secret_name: Option<String>,
    /// Type of the Secrets.
    #[param(rename = "type", example = "kubernetes.io/dockerconfigjson")]
    secret_type: Option<String>,
    /// `yaml` or `json`; otherwise as `Accept` says.
    #[param(example = "json")]
    output: Option<String>,
    /// `true` refuses to render an expired credential with 409.
    #[param(example = false)]
    strict: Option<bool>,
}

/// What a rendering that seals takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what sealed_manifests::Wanted reads")]
pub struct SealParams {
    /// `sealed-secret`; the other formats need no body and have a GET.
    #[param(example = "sealed-secret")]
    format: String,
    /// `strict`, `namespace-wide` or `cluster-wide`; otherwise as the target's annotations say, else
    /// strict.
    #[param(example = "strict")]
    scope: Option<String>,
    /// `merged` or `split`.
    #[param(example = "split")]
    layout: Option<String>,
    /// Name of the one Secret.
    #[param(example = "team-pull")]
    secret_name: Option<String>,
    /// Type of the Secrets.
    #[param(rename = "type", example = "kubernetes.io/dockerconfigjson")]
    secret_type: Option<String>,
    /// `yaml` or `json`; otherwise as `Accept` says.
    #[param(example = "json")]
    output: Option<String>,
    /// `true` refuses to render an expired credential with 409.
    #[param(example = false)]
    strict: Option<bool>,
}

/// Adds what is the same for all operations.
pub fn complete(mut document: OpenApi) -> OpenApi {
    document.info = info();
    let components = document.components.get_or_insert_with(Components::new);
    add_schemas(components);
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "A regcred token (rgc_ and 49 letters and digits), or a JSON Web Token of a configured identity provider.",
                ))
                .build(),
        ),
    );
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(path, &method));
            add_problems(path, &method, operation);
        }
    }
    document
}

/// A name for generated clients: the method and the path's words.
fn operation_id(path: &str, method: &Method) -> String {
    let words = path
        .trim_start_matches("/v1")
        .split(['/', '-', '{', '}'])
        .filter(|word| !word.is_empty());
    let mut id = method.as_str().to_ascii_lowercase();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
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

fn add_schemas(components: &mut Components) {
    let mut schemas = Vec::new();
    ProblemBody::schemas(&mut schemas);
    Mistake::schemas(&mut schemas);
    schemas.push((
        ProblemBody::name().into(),
        <ProblemBody<'_> as utoipa::PartialSchema>::schema(),
    ));
    schemas.push((
        Mistake::name().into(),
        <Mistake as utoipa::PartialSchema>::schema(),
    ));
    components.schemas.extend(schemas);
}

fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    [
        (Method::GET, item.get.as_mut()),
        (Method::PUT, item.put.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::PATCH, item.patch.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
    .collect()
}

/// Security, and every problem that an operation can answer with.
fn add_problems(path: &str, method: &Method, operation: &mut Operation) {
    let open = !path.starts_with("/v1/");
    if path == "/links/{link}" {
        add(operation, "403", "`forbidden`: a prefetch");
        add(operation, "404", "`not-found`: used up, over, revoked");
        add(operation, "409", "as for a manifest");
        add(operation, "422", "as for a manifest");
        add(operation, "503", "`unavailable`");
        return;
    }
    if open {
        if path == "/readyz" {
            add(operation, "503", "`unavailable`");
        }
        return;
    }
    operation.security = Some(vec![SecurityRequirement::new(
        "token",
        Vec::<String>::new(),
    )]);
    add(operation, "401", "`unauthenticated`");
    add(
        operation,
        "403",
        "`forbidden`: the caller's role is too small",
    );
    add(operation, "429", "`too-many-requests`");
    add(
        operation,
        "503",
        "`unavailable`: the database or the keys cannot be reached",
    );
    if path.contains('{') {
        add(
            operation,
            "404",
            "`not-found`, also where the caller has no role in the tenant",
        );
    }
    let render = path.ends_with("/manifest");
    if operation.request_body.is_some() || is_queried(operation) {
        add(
            operation,
            "422",
            "`validation-failed`: all mistakes at once",
        );
    }
    if operation.request_body.is_some() {
        add(operation, "400", "`malformed-request`");
        add(operation, "413", "`payload-too-large`: over 1 MiB");
        add(operation, "415", "`unsupported-media-type`");
    }
    if render || path.ends_with("/image-puller") {
        add(operation, "406", "`not-acceptable`");
    }
    if render {
        add(
            operation,
            "409",
            "`registry-path-conflict`, or `conflict` for an expired credential with `strict`",
        );
    } else if let Some(conflicts) = conflicts_of(path, method) {
        add(operation, "409", conflicts);
    }
    let conditional = matches!(*method, Method::PUT | Method::PATCH | Method::DELETE)
        && !path.ends_with("{token}")
        && !path.ends_with("{link}");
    if conditional {
        add(operation, "400", "`malformed-request`");
        add(operation, "412", "`precondition-failed`");
    }
    let revalidates = *method == Method::GET && path.ends_with('}') && !path.ends_with("{token}");
    if revalidates || render {
        add(operation, "400", "`malformed-request`");
        let unchanged = ResponseBuilder::new()
            .description("The client has the current state")
            .build();
        operation
            .responses
            .responses
            .insert("304".into(), RefOr::T(unchanged));
    }
}

fn is_queried(operation: &Operation) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query))
}

fn conflicts_of(path: &str, method: &Method) -> Option<&'static str> {
    let write = *method == Method::PUT || *method == Method::PATCH;
    if path.ends_with("/tokens") && *method == Method::POST {
        Some("`conflict`: a live token has the name")
    } else if takes_an_owner_away(path, method) {
        Some("`conflict`: it is the tenant's last owner")
    } else if path.ends_with("{identity_provider}") && *method == Method::DELETE {
        Some("`in-use`: role bindings name it")
    } else if path.ends_with("{identity_provider}") && write {
        Some("`conflict`: another request has just created it")
    } else if path.ends_with("/imports") {
        Some(
            "`registry-path-conflict`: a path stands there twice with two accounts; `conflict`: another account is stored. With the report's members",
        )
    } else if path.ends_with("{credential}") && *method == Method::DELETE {
        Some("`in-use`: pull secrets list it")
    } else if path.ends_with("/rollback")
        || path.ends_with("/credential-provider")
        || (write && (path.ends_with("{credential}") || path.ends_with("{pull_secret}")))
    {
        Some("`registry-path-conflict`")
    } else if path.ends_with("/verify") {
        Some("`conflict`: the credential was changed while it was tried")
    } else if path.ends_with("{tenant}") && write {
        Some("`conflict`: another request has just created it")
    } else {
        None
    }
}

fn takes_an_owner_away(path: &str, method: &Method) -> bool {
    let of_a_tenant = path.contains("{tenant}");
    let token = path.ends_with("{token}") && *method == Method::DELETE;
    let binding = path.ends_with("{role_binding}") && *method != Method::GET;
    of_a_tenant && (token || binding)
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    operation
        .responses
        .responses
        .entry(status.to_owned())
        .or_insert_with(|| RefOr::T(problem(description)));
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let content: Content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
}
