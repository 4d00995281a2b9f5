//! Whatever a test is answered, the API's document says so: status, media type and every member. It is looked at where
//! answers come in, so that no test can forget to.

use std::sync::OnceLock;

use reqwest::Method;
use serde_json::Value;

use super::client::Reply;
use super::schema::Schemas;

/// The document, as it is served.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let text = regcred::http::router::document().to_json();
        serde_json::from_str(&text.expect("the document is JSON")).expect("the document is JSON")
    })
}

fn schemas() -> &'static Schemas<'static> {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| Schemas::of(document()))
}

/// Fails where the document does not know the answer. What is asked of no route of it, or with no method of that
/// route, has no description.
pub fn check(method: &Method, path: &str, reply: &Reply) {
    let Some(operation) = operation(method, path) else {
        return;
    };
    let status = reply.status.as_u16().to_string();
    let what = format!("{method} {path} answers {status}");
    let described = &operation["responses"][&status];
    assert!(
        described.is_object(),
        "{what}, which the document does not know: {}",
        reply.body()
    );
    let media_type = reply.header("content-type").split(';').next();
    let media_type = media_type.unwrap_or_default().trim();
    let Some(contents) = described["content"].as_object() else {
        assert!(
            reply.bytes.is_empty(),
            "{what} without a body, but it has one: {}",
            reply.body()
        );
        return;
    };
    let content = contents.get(media_type);
    let content = content.unwrap_or_else(|| panic!("{what} as {media_type}, not as described"));
    let is_json = media_type.ends_with("json") && media_type != "application/x-ndjson";
    if is_json && let Err(why) = schemas().check(&content["schema"], &reply.json()) {
        panic!("{what}, but not as described: {why}: {}", reply.body());
    }
}

/// The operation of a method and a path: the template that spells out the most of it.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let paths = document()["paths"].as_object()?.iter();
    let (_, item) = paths
        .filter_map(|(template, item)| Some((literals(template, path)?, item)))
        .max_by_key(|(literals, _)| *literals)?;
    item.get(method.as_str().to_lowercase())
}

/// How many segments of the path the template spells out, if it is of that template at all.
fn literals(template: &str, path: &str) -> Option<usize> {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    let is_name = |segment: &str| segment.starts_with('{');
    let fits = template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(known, given)| is_name(known) && !given.is_empty() || known == given);
    fits.then(|| template.iter().filter(|known| !is_name(known)).count())
}
