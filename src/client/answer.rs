//! What the server answered.

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::{ClientError, shown};

/// Longest answer in bytes: a Secret has at most 1 MiB, and JSON in base64 makes it longer.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// An answer that worked. It may hold secrets.
pub struct Answer {
    server: String,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
    /// The entity tag, quoted, if there is one.
    pub etag: Option<String>,
    /// Whether it is what the caller has already.
    pub news: News,
}

/// Whether an answer to a conditional call holds anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It does.
    Changed,
    /// 304: it does not, and has no body.
    Unchanged {
        /// Whether the server held the answer, as it was asked to.
        waited: bool,
    },
}

/// What of a problem is shown.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<Mistake>,
}

#[derive(Deserialize)]
struct Mistake {
    /// Where in the body.
    pointer: Option<String>,
    /// Which parameter of the query or the path.
    parameter: Option<String>,
    detail: String,
}

impl Mistake {
    fn line(&self) -> String {
        match self.pointer.as_ref().or(self.parameter.as_ref()) {
            Some(place) => format!("{place} {}", self.detail),
            None => self.detail.clone(),
        }
    }
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Errors
    /// `Refused` with what the problem says; `Redirect`; `Unreachable` if it ends early;
    /// `NotRegcred` if it is too long.
    pub(super) async fn read(
        server: String,
        mut response: reqwest::Response,
    ) -> Result<Self, ClientError> {
        let status = response.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(ClientError::Redirect { server });
        }
        let etag = response.headers().get(reqwest::header::ETAG);
        let etag = etag.and_then(|tag| tag.to_str().ok().map(str::to_owned));
        let applied = response.headers().get("preference-applied");
        let waited = applied.is_some_and(|value| value.as_bytes().starts_with(b"wait"));
        let body = whole(&server, &mut response).await?;
        let news = match status {
            StatusCode::NOT_MODIFIED => News::Unchanged { waited },
            _ => News::Changed,
        };
        if news == News::Changed && !status.is_success() {
            return Err(ClientError::Refused {
                server,
                status: status.as_u16(),
                detail: problem(&body),
            });
        }
        Ok(Self {
            server,
            body,
            etag,
            news,
        })
    }

    /// The body as what it is expected to be.
    ///
    /// # Errors
    /// `NotRegcred`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        // The parser's message may quote what it found.
        serde_json::from_slice(&self.body).map_err(|_| self.unexpected("the body is another"))
    }

    /// The error of an answer that is none of regcred's.
    pub fn unexpected(&self, why: &'static str) -> ClientError {
        ClientError::NotRegcred {
            server: self.server.clone(),
            why,
        }
    }
}

async fn whole(
    server: &str,
    response: &mut reqwest::Response,
) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let declared = response.content_length().unwrap_or(64 * 1024);
    // Room from the start, so that growing leaves no copies.
    let room = usize::try_from(declared).map_or(MOST_BYTES, |room| room.min(MOST_BYTES));
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| super::api::unreachable(server, error))?
    {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(ClientError::NotRegcred {
                server: server.to_owned(),
                why: "the body is too long",
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn problem(body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return "without saying why".to_owned();
    };
    let mistakes: Vec<String> = problem.errors.iter().map(Mistake::line).collect();
    // The detail names the mistakes, too, where there are any.
    let why = if mistakes.is_empty() {
        problem.detail.unwrap_or_default()
    } else {
        mistakes.join("; ")
    };
    let text = format!("{}: {why}", problem.title);
    shown(&text)
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn a_problem_is_told_once_in_one_line() {
        for (body, expected) in [
            (r#"{"title": "No", "detail": "because"}"#, "No: because"),
            (
                r#"{"title": "No", "detail": "/a: x", "errors": [{"pointer": "/a", "detail": "x"}, {"pointer": "/b", "detail": "y"}]}"#,
                "No: /a x; /b y",
            ),
            (
                r#"{"title": "No", "detail": "1 mistake", "errors": [{"parameter": "limit", "detail": "x"}, {"detail": "y"}]}"#,
                "No: limit x; y",
            ),
            ("{\"title\": \"N\\u001b[31m\\no\"}", "N [31m o: "),
            ("<html>", "without saying why"),
        ] {
            assert_eq!(problem(body.as_bytes()), expected);
        }
        let long = format!(r#"{{"title": "{}"}}"#, "x".repeat(5000));
        assert!(problem(long.as_bytes()).len() <= 400);
    }
}
