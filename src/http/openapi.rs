//! The OpenAPI document: what is the same for all operations is added here, once.

use axum::http::Method;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, Info, License, OpenApi, PathItem, Ref, RefOr, Response,
    ResponseBuilder,
};

use super::problem::ProblemBody;
use crate::model::mistake::Mistake;

mod params;

pub use params::{
    AuditFilters, BindingParam, CredentialFilters, CredentialParam, IdempotencyHeader, LinkParam,
    NoParams, PageParams, ProviderParam, PullSecretParam, ReadConditions, RenderConditions,
    RenderParams, SealParams, TenantParam, TokenParam, WriteConditions,
};

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
