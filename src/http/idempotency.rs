//! The `Idempotency-Key` of a POST that creates something.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use zeroize::Zeroizing;

use super::problem::{Answer, Code, Problem};
use crate::broker::idempotency::{Answer as Stored, Once};

/// Longest key.
const MOST_BYTES: usize = 255;

/// What must be equal for two requests to be one.
///
/// # Errors
/// `malformed-request` for a key that is empty, too long or not printable ASCII.
pub fn once(headers: &HeaderMap, method: &Method, uri: &Uri, body: &[u8]) -> Answer<Option<Once>> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default();
    let valid = !key.is_empty() && key.len() <= MOST_BYTES && values.next().is_none();
    if !valid {
        let detail =
            format!("Idempotency-Key is one value of 1 to {MOST_BYTES} printable ASCII characters");
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    let mut request = Zeroizing::new(Vec::with_capacity(body.len() + uri.path().len() + 16));
    // Neither a method nor a path holds a line feed, so no two requests run into one text.
    for part in [method.as_str(), uri.path(), uri.query().unwrap_or_default()] {
        request.extend_from_slice(part.as_bytes());
        request.push(b'\n');
    }
    request.extend_from_slice(body);
    Ok(Some(Once {
        key: key.to_owned(),
        request,
    }))
}

/// An answer that may have been given before.
pub(super) fn answer_once(answer: &Stored) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let media_type = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, media_type, answer.body.clone()).into_response();
    for (name, value) in [
        (header::LOCATION, &answer.location),
        (header::ETAG, &answer.etag),
    ] {
        let value = value.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(value)) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
