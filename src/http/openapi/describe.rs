//! The parts of an operation's description.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{RefOr, Required, Response, ResponseBuilder, Schema};

use super::super::body::MERGE_PATCH;
use super::super::problem::ProblemBody;
use crate::model::body::{Face, Field, Presence, Wire, reference, text_schema};
use crate::model::name::Name;

/// What stands in paths: its name, what it is, an example.
const IN_PATHS: [(&str, &str, &str); 7] = [
    ("tenant", "Name of the tenant.", "team-a"),
    ("credential", "Name of the credential.", "connect"),
    ("pull_secret", "Name of the pull secret.", "team-pull"),
    (
        "identity_provider",
        "Name of the identity provider.",
        "cluster-a",
    ),
    ("role_binding", "Name of the role binding.", "builders"),
    ("token", "Name or id of the token.", "ci"),
    (
        "link",
        "Id of the link; without a token, the last part of its URL.",
        "rgl_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg000000",
    ),
];

/// Headers of answers: name, what it says, and how it looks.
const HEADERS: [(&str, &str, Option<&str>); 8] = [
    (
        "X-Request-Id",
        "Id of the request, as the log and the audit trail have it.",
        None,
    ),
    (
        "ETag",
        "Entity tag of the state: for `If-Match` of a write and `If-None-Match` of a read.",
        Some(r#"^"[^"]*"$"#),
    ),
    ("Location", "Path of what was made.", Some("^/")),
    (
        "X-Regcred-Warnings",
        "What a user should know, as a list of strings (RFC 8941), each `code: sentence`; what is only good to know comes last and has the parameter `severity=info`. Left out if there is nothing.",
        None,
    ),
    (
        "Retry-After",
        "Seconds after which trying again may help.",
        Some("^[0-9]+$"),
    ),
    (
        "WWW-Authenticate",
        "How to authenticate: `Bearer`.",
        Some("^Bearer"),
    ),
    (
        "Preference-Applied",
        "`wait=N` where the request was held for it.",
        Some("^wait=[0-9]+$"),
    ),
    (
        "Accept-Patch",
        "The media types of patches, where another one was sent.",
        None,
    ),
];

/// Entity tags as conditions name them.
const TAGS: &str = r#"^(\*|(W/)?"[^"]*"(\s*,\s*(W/)?"[^"]*")*)$"#;

/// An object with any members.
pub fn any_object() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .into()
}

/// The names in a path.
pub fn path_parameters(operation: &mut Operation, path: &str) {
    for (name, description, example) in IN_PATHS {
        if !path.contains(&format!("{{{name}}}")) {
            continue;
        }
        let is_name = !matches!(name, "token" | "link");
        let schema = if is_name {
            Name::schema(Face::Whole)
        } else {
            text_schema(1, 63).pattern(Some("^[-_a-zA-Z0-9]+$")).into()
        };
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(schema))
            .example(Some(example.into()));
        add_parameter(operation, parameter.build());
    }
}

/// A parameter of the query. One that may be left out has no example: forms would send it.
pub fn query_parameter(operation: &mut Operation, field: &Field) {
    let is_required = field.presence == Presence::Required;
    let parameter = ParameterBuilder::new()
        .name(field.name)
        .parameter_in(ParameterIn::Query)
        .required(if is_required {
            Required::True
        } else {
            Required::False
        })
        .description(Some(field.doc.clone()))
        .schema(Some((field.schema)(Face::Whole)))
        .example(example_of(field.name).filter(|_| is_required));
    add_parameter(operation, parameter.build());
}

/// A parameter of the query that must be given here.
pub fn needs(operation: &mut Operation, name: &str) {
    change(operation, name, |parameter| {
        parameter.required(Required::True).example(example_of(name))
    });
}

/// A parameter of the query that has these words alone here.
pub fn only(operation: &mut Operation, name: &str, words: &[&'static str]) {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()));
    change(operation, name, |parameter| parameter.schema(Some(schema)));
    if let [_] = words {
        needs(operation, name);
    }
}

fn change(
    operation: &mut Operation,
    name: &str,
    change: impl FnOnce(ParameterBuilder) -> ParameterBuilder,
) {
    let mut parameters = operation.parameters.iter_mut().flatten();
    let found = parameters.find_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.name == name => Some(parameter),
        _ => None,
    });
    if let Some(parameter) = found {
        *parameter = change(ParameterBuilder::from(parameter.clone())).build();
    }
}

/// An example of a parameter that must be given somewhere.
fn example_of(name: &str) -> Option<Value> {
    match name {
        "namespace" => Some("project-a".into()),
        "pull_from" => Some(json!(["project-b"])),
        "format" => Some("sealed-secret".into()),
        _ => None,
    }
}

fn header_parameter(
    operation: &mut Operation,
    name: &str,
    description: &str,
    schema: ObjectBuilder,
) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema));
    add_parameter(operation, parameter.build());
}

fn add_parameter(operation: &mut Operation, parameter: Parameter) {
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(RefOr::T(parameter));
}

/// A JSON body, and what can be wrong with one.
pub fn body(
    operation: &mut Operation,
    schema: RefOr<Schema>,
    example: Option<Value>,
    required: Required,
) {
    let content = ContentBuilder::new().schema(Some(schema)).example(example);
    let body = RequestBodyBuilder::new()
        .content("application/json", content.build())
        .required(Some(required));
    operation.request_body = Some(RefOr::T(body.build()));
    of_bodies(operation);
}

/// A merge patch, in either media type.
pub fn patch(operation: &mut Operation, schema: RefOr<Schema>, example: Option<Value>) {
    let content = ContentBuilder::new()
        .schema(Some(schema))
        .example(example)
        .build();
    let body = RequestBodyBuilder::new()
        .content("application/json", content.clone())
        .content(MERGE_PATCH, content)
        .required(Some(Required::True));
    operation.request_body = Some(RefOr::T(body.build()));
    of_bodies(operation);
    header(operation, 415, "Accept-Patch");
}

fn of_bodies(operation: &mut Operation) {
    problem(
        operation,
        400,
        "`malformed-request`: the body is not JSON, or a header cannot be read",
    );
    problem(operation, 413, "`payload-too-large`: over 1 MiB");
    problem(operation, 415, "`unsupported-media-type`");
    invalid(operation);
}

/// All mistakes at once.
pub fn invalid(operation: &mut Operation) {
    problem(operation, 422, "`validation-failed`: all mistakes at once");
}

/// A JSON answer.
pub fn answer(operation: &mut Operation, status: u16, description: &str, schema: &str) {
    let content = ContentBuilder::new()
        .schema(Some(reference(schema)))
        .build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", content);
    add_response(operation, status, response.build());
}

/// Another media type of the answer 200: a text.
pub fn also_as(operation: &mut Operation, media_type: &str) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let content = ContentBuilder::new().schema(Some(text)).build();
        response
            .content
            .insert(media_type.to_owned(), RefOr::T(content));
    }
}

/// An answer without a body.
pub fn nothing(operation: &mut Operation, status: u16, description: &str) {
    let response = ResponseBuilder::new().description(description);
    add_response(operation, status, response.build());
}

/// A rendered document. Clients that know one media type take the first: a text, whatever it is.
pub fn rendering(operation: &mut Operation, media_types: &[&str]) {
    let mut response = ResponseBuilder::new().description(
        "The document; its media type depends on the format, and on `output` or `Accept`",
    );
    for media_type in media_types {
        let schema = match *media_type {
            "application/json" => any_object(),
            _ => ObjectBuilder::new().schema_type(Type::String).into(),
        };
        let content = ContentBuilder::new().schema(Some(schema)).build();
        response = response.content(*media_type, content);
    }
    add_response(operation, 200, response.build());
    header(operation, 200, "X-Regcred-Warnings");
    problem(operation, 406, "`not-acceptable`");
}

/// A problem. What was said of a status before stays.
pub fn problem(operation: &mut Operation, status: u16, description: &str) {
    typed_problem(operation, status, description, &ProblemBody::name());
}

/// A problem with members of its own.
pub fn typed_problem(operation: &mut Operation, status: u16, description: &str, schema: &str) {
    let content = ContentBuilder::new()
        .schema(Some(reference(schema)))
        .build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    if !operation
        .responses
        .responses
        .contains_key(&status.to_string())
    {
        add_response(operation, status, response.build());
    }
}

fn add_response(operation: &mut Operation, status: u16, response: Response) {
    let responses = &mut operation.responses.responses;
    responses.insert(status.to_string(), RefOr::T(response));
}

/// `If-None-Match` of a read, and 304; `If-Match`, and 412.
pub fn revalidates(operation: &mut Operation) {
    let description = "Read only this state; 412 if it is another one by now.";
    header_parameter(operation, "If-Match", description, tags());
    problem(operation, 412, "`precondition-failed`");
    let description = "Entity tags that the client has; 304 if one is current.";
    header_parameter(operation, "If-None-Match", description, tags());
    problem(operation, 400, "`malformed-request`");
    nothing(operation, 304, "The client has the current state");
    tagged(operation);
}

/// `If-Match` and `If-None-Match` of a write, and 412.
pub fn conditional(operation: &mut Operation) {
    let description = "Write only over this version: the `ETag` of a read; 412 otherwise.";
    header_parameter(operation, "If-Match", description, tags());
    let description = "`*` creates only; 412 if there is one already.";
    header_parameter(operation, "If-None-Match", description, tags());
    problem(operation, 400, "`malformed-request`");
    problem(operation, 412, "`precondition-failed`");
    tagged(operation);
}

fn tags() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(TAGS))
}

fn tagged(operation: &mut Operation) {
    for status in [200, 201, 304] {
        header(operation, status, "ETag");
    }
}

/// `Prefer: wait`.
pub fn waits(operation: &mut Operation) {
    let description = "`wait=N` holds a request with `If-None-Match` for up to N seconds, at most 60, until there is \
                       something else than the client has.";
    header_parameter(
        operation,
        "Prefer",
        description,
        ObjectBuilder::new().schema_type(Type::String),
    );
    for status in [200, 304] {
        header(operation, status, "Preference-Applied");
    }
}

/// `Idempotency-Key`.
pub fn once(operation: &mut Operation) {
    let description =
        "The same key and body within 24 hours give the first answer again; another body is 422.";
    header_parameter(
        operation,
        "Idempotency-Key",
        description,
        text_schema(1, 255).pattern(Some("^[ -~]+$")),
    );
}

/// A header of an answer, if there is such an answer.
pub fn header(operation: &mut Operation, status: u16, name: &str) {
    let found = HEADERS.iter().find(|(known, ..)| *known == name);
    let response = operation.responses.responses.get_mut(&status.to_string());
    if let (Some((name, description, pattern)), Some(RefOr::T(response))) = (found, response) {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(*pattern);
        let header = HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(*description));
        response
            .headers
            .insert((*name).to_owned(), RefOr::T(header.build()));
    }
}

/// What the gate adds: a token, and what it may answer.
pub fn gated(operation: &mut Operation, path: &str) {
    operation.security = Some(vec![SecurityRequirement::new(
        "token",
        Vec::<String>::new(),
    )]);
    problem(operation, 401, "`unauthenticated`");
    problem(
        operation,
        403,
        "`forbidden`: the caller's role is too small",
    );
    problem(operation, 429, "`too-many-requests`");
    problem(
        operation,
        503,
        "`unavailable`: the database or the keys cannot be reached",
    );
    problem(
        operation,
        500,
        "`internal`: something is wrong on the server, such as a stored secret that does not open",
    );
    if path.contains('{') {
        problem(
            operation,
            404,
            "`not-found`, also where the caller has no role in the tenant",
        );
    }
}

/// What every operation may answer, and every answer has; added when all others are there.
pub fn finish(operation: &mut Operation) {
    invalid(operation);
    problem(operation, 400, "`malformed-request`");
    problem(operation, 414, "`malformed-request`: the URL is too long");
    problem(
        operation,
        431,
        "`malformed-request`: the headers are too large or too many",
    );
    let statuses: Vec<u16> = operation
        .responses
        .responses
        .keys()
        .filter_map(|status| status.parse().ok())
        .collect();
    for status in statuses {
        header(operation, status, "X-Request-Id");
        match status {
            401 => header(operation, 401, "WWW-Authenticate"),
            429 | 503 => header(operation, status, "Retry-After"),
            _ => {}
        }
    }
}

/// An example of an error for the document's problem schema.
pub fn problem_example() -> Value {
    json!({
        "type": "urn:regcred:problem:validation-failed", "title": "The request has mistakes", "status": 422,
        "detail": "/registry: the registry is empty; expected host[:port][/path]",
        "request_id": "01939d7e-1f00-7000-8000-000000000001",
        "errors": [{"pointer": "/registry", "code": "invalid-registry",
            "detail": "the registry is empty; expected host[:port][/path]"}]
    })
}
