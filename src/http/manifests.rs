//! Rendered manifests.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::asking::Asking;
use super::conditional;
use super::gate::{Entered, known_name};
use super::origin::origin;
use super::problem::{Answer, Code, Problem};
use super::query::Params;
use super::route::{Draft, Route, Tag, route};
use super::waiting::{Outcome, Patience, Prefers};
use crate::auth::role::Action;
use crate::broker::Scope;
use crate::broker::manifests::{Manifest, Options, Purpose, Source};
use crate::broker::stored_options::RenderFields;
use crate::model::body::body;
use crate::model::name::Name;
use crate::model::severity::Severity;
use crate::render::inputs::Inputs;
use crate::render::warning::Warning;
use crate::render::{Format, Output};

const X_REGCRED_WARNINGS: HeaderName = HeaderName::from_static("x-regcred-warnings");

/// Most warnings in the header; clients refuse heads that are too long.
const MOST_WARNINGS: usize = 20;

const OF_PULL_SECRET: &str = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/manifest";
const OF_CREDENTIAL: &str = "/v1/tenants/{tenant}/credentials/{credential}/manifest";

/// What renderings are written as. A text first: clients that know one media type take the first.
pub(super) const MEDIA_TYPES: [&str; 3] =
    ["text/x-shellscript", "application/yaml", "application/json"];

body! {
    /// How to render now.
    #[derive(Debug, Clone)]
    pub struct RenderParams {}
    fields {
        /// How to render.
        fields: RenderFields, flat;
        /// `true` is for looking only: who asks does not become a consumer, nor one that has the current state. It is
        /// in the audit trail all the same. (HEAD renders nothing at all and tells the entity tag.)
        preview: bool, default;
    }
}

/// The routes that render what is stored.
pub fn routes() -> Vec<Route> {
    // Sealing needs a certificate, for which only POST has a place.
    let formats = Format::ALL
        .into_iter()
        .filter(|format| *format != Format::SealedSecret);
    let formats: Vec<_> = formats.map(Format::as_str).collect();
    let on = |path, id| {
        rendering(route(Method::GET, path, id, Tag::Manifests).query::<RenderParams>())
            .only("format", &formats)
            .renders(&MEDIA_TYPES)
            .revalidates()
            .waits()
    };
    vec![
        on(OF_PULL_SECRET, "renderPullSecret")
            .says(
                "Renders a pull secret",
                "The rendering is in the audit trail before the answer leaves.",
            )
            .may(Action::RenderPullSecret)
            .to(|app, who, path, asking, params| {
                stored(app, who, path, asking, params, Source::PullSecret)
            }),
        on(OF_CREDENTIAL, "renderCredential")
            .says(
                "Renders one credential alone",
                "Both endpoints, if it is a pair.",
            )
            .may(Action::RenderAnything)
            .to(|app, who, path, asking, params| {
                stored(app, who, path, asking, params, Source::Credential)
            }),
    ]
}

/// The conflicts that every rendering may meet.
pub(super) fn rendering(draft: Draft) -> Draft {
    draft.problem(
        409,
        "`registry-path-conflict`, or `conflict` for an expired credential with `strict`",
    )
}

async fn stored(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    asking: Asking,
    params: Params<RenderParams>,
    source: fn(Name) -> Source,
) -> Answer<Response> {
    let source = source(known_name(&name)?);
    let options = options(params.read()?, &asking.headers)?;
    let asked = Asked { options, source };
    answer(&app, &scope, asking, asked).await
}

/// What is to be rendered, and how.
pub(super) struct Asked {
    pub(super) options: Options,
    pub(super) source: Source,
}

/// Renders and answers. What cannot be rendered as the query asks is a mistake of its parameters.
pub(super) async fn answer(
    app: &App,
    scope: &Scope,
    asking: Asking,
    asked: Asked,
) -> Answer<Response> {
    let answered = try_to_answer(app, scope, asking, asked).await;
    answered.map_err(|problem| problem.of_parameters(&IN_QUERY))
}

/// The parameters that a rendering finds fault with.
const IN_QUERY: [&str; 4] = ["format", "layout", "secret_name", "namespace"];

async fn try_to_answer(app: &App, scope: &Scope, asking: Asking, asked: Asked) -> Answer<Response> {
    let Asking {
        headers,
        prefers: Prefers(patience),
        reached,
        method,
    } = asking;
    let Asked {
        mut options,
        source,
    } = asked;
    if options.format == Format::ExternalSecret {
        options.inputs = Inputs::Origin(origin(reached.url()?, scope, &source)?);
    }
    // Reading the header tells whether it is valid, whatever it is compared with.
    conditional::is_known(&headers, "")?;
    if headers.contains_key(header::IF_MATCH) {
        let current = app.broker.state(scope, &source, &options).await?;
        conditional::refuse_others(&headers, &quoted(&current.tag))?;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        return revalidate(
            app,
            scope,
            (&headers, &method),
            patience,
            (&source, &options),
        )
        .await;
    }
    current(app, scope, &method, (&source, &options)).await
}

/// What there is now. HEAD tells its entity tag alone: nothing is rendered, so nothing is noted.
async fn current(
    app: &App,
    scope: &Scope,
    method: &Method,
    (source, options): (&Source, &Options),
) -> Answer<Response> {
    if method != Method::HEAD {
        return Ok(document(app.broker.manifest(scope, source, options).await?));
    }
    let state = app.broker.state(scope, source, options).await?;
    let media_type = options.output.media_type();
    let response = [(header::CONTENT_TYPE, media_type)];
    Ok(tagged(response.into_response(), &state.tag))
}

/// Answers a client that has a rendering: 304 reveals nothing, so nothing is in the trail.
async fn revalidate(
    app: &App,
    scope: &Scope,
    (headers, method): (&HeaderMap, &Method),
    mut patience: Option<Patience>,
    what: (&Source, &Options),
) -> Answer<Response> {
    let is_known = |tag: &str| {
        // The header was found to be valid.
        conditional::is_known(headers, &quoted(tag)).unwrap_or_default()
    };
    let (source, options) = what;
    let waited = match &mut patience {
        Some(patience) => patience.wait(app, scope, what, &is_known).await?,
        None => None,
    };
    let outcome = match waited {
        Some(outcome) => outcome,
        None => {
            let current = app.broker.state(scope, source, options).await?;
            if is_known(&current.tag) {
                Outcome::Unchanged(current)
            } else {
                Outcome::Other
            }
        }
    };
    let mut response = match outcome {
        Outcome::Unchanged(current) => {
            if method != Method::HEAD {
                app.broker.confirm(scope, options, &current).await;
            }
            tagged(StatusCode::NOT_MODIFIED.into_response(), &current.tag)
        }
        Outcome::Changed(scope, _turn) => current(app, &scope, method, what).await?,
        Outcome::Other => current(app, scope, method, what).await?,
    };
    if let Some(patience) = patience {
        patience.applied(&mut response);
    }
    Ok(response)
}

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

fn tagged(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&quoted(tag)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    // The bytes depend on Accept where the query does not say the output.
    response.headers_mut().insert(
        header::VARY,
        HeaderValue::from_static("accept, authorization"),
    );
    response
}

/// A document's bytes, which others may be answered with, too.
struct Document(Arc<Manifest>);

impl AsRef<[u8]> for Document {
    fn as_ref(&self) -> &[u8] {
        &self.0.rendered.bytes
    }
}

/// The rendered document with its entity tag and warnings.
pub(super) fn document(manifest: Arc<Manifest>) -> Response {
    // The buffer itself goes to the connection, and is zeroed when the last who answers with it has written it.
    let body = Body::from(Bytes::from_owner(Document(manifest.clone())));
    let mut response =
        ([(header::CONTENT_TYPE, manifest.rendered.media_type)], body).into_response();
    let warnings = manifest.warnings.iter();
    say_in_header(&mut response, warnings.map(item_of).collect());
    tagged(response, &manifest.tag)
}

/// Says what the caller should know beside the answer.
pub(super) fn warn(response: &mut Response, warnings: &[String]) {
    let items = warnings.iter().map(|warning| string_of(warning));
    say_in_header(response, items.collect());
}

/// A list (RFC 8941, section 3.1) with an end.
fn say_in_header(response: &mut Response, mut items: Vec<String>) {
    let more = items.len().saturating_sub(MOST_WARNINGS);
    if more > 0 {
        items.truncate(MOST_WARNINGS);
        items.push(string_of(&format!("more: {more} more are left out here")));
    }
    let header = HeaderValue::from_str(&items.join(", "));
    if let (false, Ok(header)) = (items.is_empty(), header) {
        response.headers_mut().insert(X_REGCRED_WARNINGS, header);
    }
}

/// A string (RFC 8941, section 3.3.3), with a parameter where it is only good to know.
fn item_of(warning: &Warning) -> String {
    let text = string_of(&warning.to_string());
    match warning.severity {
        Severity::Info => format!("{text};severity=info"),
        Severity::Error | Severity::Warning => text,
    }
}

fn string_of(text: &str) -> String {
    let printable: String = text
        .chars()
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .collect();
    let escaped = printable.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// How to render what the query asks for.
pub(super) fn options(params: RenderParams, headers: &HeaderMap) -> Answer<Options> {
    let RenderParams { fields, preview } = params;
    let output = output(fields.format, fields.output, headers)?;
    let purpose = match preview {
        true => Purpose::Preview,
        false => Purpose::Use,
    };
    Ok(Options {
        purpose,
        ..fields.options(output)
    })
}

/// The query decides; without it `Accept` does; without that, the format's own.
pub(super) fn output(format: Format, asked: Option<Output>, headers: &HeaderMap) -> Answer<Output> {
    if let Some(output) = asked {
        return Ok(output);
    }
    let outputs = [format.default_output(), Output::Json];
    let accept = accepted(headers);
    let acceptable =
        |output: &Output| format.has_output(*output) && accept.takes(output.media_type());
    let best = outputs.into_iter().filter(acceptable).max_by(|one, other| {
        let quality = |output: &Output| accept.quality(output.media_type());
        // The first of equals: `max_by` gives the last, so equals count as smaller.
        quality(one)
            .total_cmp(&quality(other))
            .then(std::cmp::Ordering::Greater)
    });
    best.ok_or_else(|| {
        let offered: Vec<&str> = [Output::Yaml, Output::Json, Output::Script]
            .into_iter()
            .filter(|output| format.has_output(*output))
            .map(Output::media_type)
            .collect();
        Problem::new(
            Code::NotAcceptable,
            format!(
                "the format {} is written as {}",
                format.as_str(),
                offered.join(" or ")
            ),
        )
    })
}

/// The media ranges of `Accept` with their qualities (RFC 9110, section 12.5.1).
pub(super) struct Accepted(Vec<(String, f32)>);

pub(super) fn accepted(headers: &HeaderMap) -> Accepted {
    let values = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let ranges = values
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts
                .next()
                .filter(|media| !media.is_empty())?
                .to_ascii_lowercase();
            let quality =
                parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some((
                media,
                quality
                    .and_then(|quality| quality.parse().ok())
                    .unwrap_or(1.0),
            ))
        });
    Accepted(ranges.collect())
}

impl Accepted {
    fn takes(&self, media_type: &str) -> bool {
        self.quality(media_type) > 0.0
    }

    /// The quality of the most specific range that holds the media type; 1 without any `Accept`.
    pub(super) fn quality(&self, media_type: &str) -> f32 {
        if self.0.is_empty() {
            return 1.0;
        }
        let group = media_type.split('/').next().unwrap_or_default();
        let yaml_names = [
            "application/yaml",
            "application/x-yaml",
            "text/yaml",
            "text/x-yaml",
        ];
        let script_names = ["text/x-shellscript", "application/x-sh", "text/plain"];
        let names = |range: &str| {
            range == media_type
                || (media_type == "application/yaml" && yaml_names.contains(&range))
                || (media_type == "text/x-shellscript" && script_names.contains(&range))
        };
        let exact = self.0.iter().find(|(range, _)| names(range));
        let of_group = || {
            self.0
                .iter()
                .find(|(range, _)| *range == format!("{group}/*"))
        };
        let any = || self.0.iter().find(|(range, _)| range == "*/*");
        exact
            .or_else(of_group)
            .or_else(any)
            .map_or(0.0, |(_, quality)| *quality)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(format: Format, accept: Option<&'static str>) -> Option<Output> {
        let headers: HeaderMap = accept
            .map(|accept| (header::ACCEPT, HeaderValue::from_static(accept)))
            .into_iter()
            .collect();
        output(format, None, &headers).ok()
    }

    #[test]
    fn accept_chooses_between_yaml_and_json() {
        for (accept, expected) in [
            (None, Some(Output::Yaml)),
            (Some("*/*"), Some(Output::Yaml)),
            (Some("application/json"), Some(Output::Json)),
            (Some("application/yaml"), Some(Output::Yaml)),
            (Some("text/x-yaml"), Some(Output::Yaml)),
            (
                Some("application/json;q=0.5, application/yaml"),
                Some(Output::Yaml),
            ),
            (
                Some("application/yaml;q=0.5, application/json"),
                Some(Output::Json),
            ),
            (Some("application/*"), Some(Output::Yaml)),
            (Some("application/json, */*;q=0.1"), Some(Output::Json)),
            (Some("text/html"), None),
            (Some("application/yaml;q=0"), None),
        ] {
            assert_eq!(chosen(Format::Secret, accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn warnings_are_a_list_of_strings() {
        let header = |warnings: &[String]| {
            let mut response = Response::default();
            warn(&mut response, warnings);
            let value = response.headers_mut().remove(X_REGCRED_WARNINGS);
            value.map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let warnings = ["a: \"b\"".to_owned(), "c\nd".to_owned()];
        let expected = "\"a: \\\"b\\\"\", \"c?d\"";
        assert_eq!(header(&warnings).as_deref(), Some(expected));
        assert_eq!(header(&[]), None);
        let many = header(&vec!["a: b".to_owned(); MOST_WARNINGS + 2]).expect("a header");
        assert!(
            many.ends_with("\"a: b\", \"more: 2 more are left out here\""),
            "{many}"
        );
    }
}
