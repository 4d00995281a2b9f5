//! Request bodies: JSON of at most 1 MiB, of the right media type.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::problem::{Answer, Code, Problem};
use crate::auth_file::document::{Depth, Document, Kind};
use crate::model::body::Body;
use crate::model::json::Json;
use zeroize::Zeroizing;

/// Largest body in bytes.
pub const MOST_BYTES: usize = 1024 * 1024;

/// The media type of merge patches.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// A JSON body (`application/json`), and the bytes that it was read from.
pub struct JsonBody {
    /// What it says.
    pub json: Json,
    /// The bytes as sent.
    pub bytes: Bytes,
}

/// A JSON body that may be left out, which means `{}`.
pub struct OptionalJsonBody(pub Json);

/// A JSON body in which a file is sent, as text or as the JSON object that it holds: clients read more
/// than serde_json does, and what they make of a name given twice must not be lost on the way.
pub struct VerbatimBody(Bytes);

/// A body parted into the file and the rest.
pub struct Parted {
    /// The body, with something empty of the same kind in the file's place.
    pub rest: Json,
    /// The file, byte for byte, if it was sent as a string or an object.
    pub file: Option<Zeroizing<Vec<u8>>>,
}

/// A merge patch (RFC 7396): `application/merge-patch+json`, or `application/json` for clients that send nothing else.
pub struct MergePatch(pub Json);

impl JsonBody {
    /// Reads the body as what the route takes.
    ///
    /// # Errors
    /// `validation-failed` with all mistakes.
    pub fn read<B: Body>(self) -> Answer<B> {
        B::read(self.json).map_err(Problem::invalid)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let media_type = check_media_type(request.headers(), "application/json");
        let bytes = read(request).await?;
        media_type?;
        Ok(Self {
            json: parse(&bytes)?,
            bytes,
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let media_type = check_media_type(request.headers(), "application/json");
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Ok(Self(Json::Object(Vec::new())));
        }
        media_type?;
        parse(&bytes).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for VerbatimBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let media_type = check_media_type(request.headers(), "application/json");
        let bytes = read(request).await?;
        media_type?;
        Ok(Self(bytes))
    }
}

impl VerbatimBody {
    /// Takes the file out of the field `name`.
    ///
    /// # Errors
    /// `malformed-request` for what is no JSON.
    pub fn part(&self, name: &str) -> Answer<Parted> {
        let not_json = |why: &str| {
            Problem::new(
                Code::MalformedRequest,
                format!("the body is not JSON: {why}"),
            )
        };
        let document = Document::parse(&self.0, Depth::Unlimited)
            .map_err(|(_, place)| not_json(&format!("there is a mistake at {place}")))?;
        if let Some(place) = document.trailing() {
            return Err(not_json(&format!("something follows it at {place}")));
        }
        let root = document.root().ok_or_else(|| not_json("it is empty"))?;
        let mut rest = Zeroizing::new(Vec::with_capacity(self.0.len()));
        let mut file = None;
        let mut copied = 0;
        for (field, value) in root.members() {
            let (stand_in, content) = match (value.text(), value.kind()) {
                _ if field.text().is_none_or(|field| *field != name) => continue,
                (Some(text), _) => ("\"\"", text.as_bytes().to_vec()),
                (_, Kind::Object) => ("{}", self.0[value.range()].to_vec()),
                _ => continue,
            };
            file = Some(Zeroizing::new(content));
            rest.extend_from_slice(&self.0[copied..value.range().start]);
            rest.extend_from_slice(stand_in.as_bytes());
            copied = value.range().end;
        }
        rest.extend_from_slice(&self.0[copied..]);
        Ok(Parted {
            rest: parse(&rest)?,
            file,
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for MergePatch {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        check_encoding(request.headers())?;
        let patch = check_media_type(request.headers(), MERGE_PATCH);
        patch.or_else(|problem| {
            // Generic clients send every body as plain JSON; a patch is read as a merge patch all the same.
            let plain = check_media_type(request.headers(), "application/json");
            plain.map_err(|_| problem.with_accept_patch())
        })?;
        parse(&read(request).await?).map(Self)
    }
}

/// Bodies are taken as they are (RFC 9110, section 15.5.16), and read as UTF-8.
fn check_encoding(headers: &HeaderMap) -> Answer<()> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "a body is sent as it is, without Content-Encoding";
        return Err(Problem::new(Code::UnsupportedMediaType, detail).with_identity_only());
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let parameters = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let charset = parameters.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    if charset.is_some_and(|charset| {
        !["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(charset))
    }) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "a body is JSON in UTF-8",
        ));
    }
    Ok(())
}

fn check_media_type(headers: &HeaderMap, expected: &str) -> Answer<()> {
    check_encoding(headers)?;
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("expected Content-Type: {expected}"),
        ))
    }
}

async fn read(request: Request) -> Answer<Bytes> {
    let too_large = || {
        Problem::new(
            Code::PayloadTooLarge,
            format!("a body has at most {MOST_BYTES} bytes"),
        )
    };
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MOST_BYTES) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), MOST_BYTES)
        .collect()
        .await
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Code::MalformedRequest, "the body ended early")),
    }
}

fn parse(bytes: &[u8]) -> Answer<Json> {
    Json::parse(bytes).map_err(|error| {
        // serde_json's messages name what it expected, never what it found in a string.
        Problem::new(
            Code::MalformedRequest,
            format!("the body is not JSON: {error}"),
        )
    })
}
