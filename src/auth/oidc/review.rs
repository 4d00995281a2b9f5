//! TokenReview: whether a cluster's API server still takes a token.
//!
//! A signature says that a token was made, never that what it was made for is still there. The API server
//! knows: it refuses the token of a pod or a service account that was deleted
//! (`authentication.k8s.io/v1`, `TokenReview`). It is asked after the signature was found to be right, so nobody
//! without a token of the issuer makes it be asked, and what it says is kept for a moment only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use reqwest::StatusCode;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use url::Url;
use zeroize::Zeroizing;

use super::provider::{Review, check_url};
use crate::client::token_file::TokenFile;
use crate::model::secret::SecretText;
use crate::registry::egress::{Ask, Egress, Login, parse_ca_bundle};

/// How long a review is believed, from the moment it was asked for.
const KEPT_FOR: Duration = Duration::seconds(10);
/// How long an API server that gave no review is not asked again about the same token.
const NOT_ASKED_FOR: Duration = Duration::seconds(1);
/// How long one review may take.
const REVIEWED_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
/// Reviews in memory; beyond it, those that are over are thrown out.
const MOST_KEPT: usize = 4096;
/// Longest part of the API server's words that the trail keeps, in characters.
const LONGEST_WORDS: usize = 200;
/// Below any API server's address.
const PATH: [&str; 4] = ["apis", "authentication.k8s.io", "v1", "tokenreviews"];

/// Why a token did not pass its review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreviewed {
    /// The API server does not take it, and says why.
    #[error("the API server does not take the token: {0}")]
    Refused(String),
    /// There was no review.
    #[error("the API server gives no review: {0}")]
    None(String),
}

/// What API servers said of tokens a moment ago. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reviews {
    kept: Arc<Mutex<HashMap<[u8; 32], Arc<Slot>>>>,
    /// Directory of the tokens with which API servers are asked, one file a host.
    logins: Option<PathBuf>,
}

/// Held by the one who asks; those with the same token wait for the answer.
type Slot = tokio::sync::Mutex<Option<Kept>>;

struct Kept {
    asked_at: OffsetDateTime,
    said: Result<(), Unreviewed>,
}

impl Kept {
    fn is_young(&self, now: OffsetDateTime) -> bool {
        let kept_for = match self.said {
            Err(Unreviewed::None(_)) => NOT_ASKED_FOR,
            Ok(()) | Err(Unreviewed::Refused(_)) => KEPT_FOR,
        };
        (Duration::ZERO..kept_for).contains(&(now - self.asked_at))
    }
}

impl Reviews {
    /// Reviews that are asked for with the tokens of this directory: the file `HOST`, or `HOST_PORT` for another port
    /// than 443, is sent to that host and to no other.
    pub fn with_logins(logins: Option<PathBuf>) -> Self {
        Self {
            logins,
            ..Self::default()
        }
    }

    /// Whether the API server takes the token, for one of the audiences.
    ///
    /// # Errors
    /// Why not.
    pub async fn review(
        &self,
        egress: &Egress,
        review: &Review,
        (audiences, bearer): (&[String], &str),
        now: OffsetDateTime,
    ) -> Result<(), Unreviewed> {
        let slot = self.slot(key(review, audiences, bearer), now);
        let mut kept = slot.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_young(now)) {
            return kept.said.clone();
        }
        let asking = self.ask(egress, review, audiences, bearer);
        let said = tokio::time::timeout(REVIEWED_WITHIN, asking).await;
        let said = said.unwrap_or_else(|_| none("it does not answer in time"));
        *kept = Some(Kept {
            asked_at: now,
            said: said.clone(),
        });
        said
    }

    fn slot(&self, key: [u8; 32], now: OffsetDateTime) -> Arc<Slot> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            // What is being asked for is locked, and stays.
            kept.retain(|_, slot| {
                slot.try_lock().map_or(true, |kept| {
                    kept.as_ref().is_some_and(|kept| kept.is_young(now))
                })
            });
        }
        kept.entry(key).or_default().clone()
    }

    async fn ask(
        &self,
        egress: &Egress,
        review: &Review,
        audiences: &[String],
        bearer: &str,
    ) -> Result<(), Unreviewed> {
        let url = endpoint(&review.api_server).ok_or(Unreviewed::None("its URL is none".into()))?;
        let egress = trusting(egress, review)?;
        let login = self.login_for(&url).await?;
        let body = Zeroizing::new(
            serde_json::json!({
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": bearer, "audiences": audiences},
            })
            .to_string(),
        );
        let ask = Ask::PostJsonAs {
            login: login.as_ref().map(Login::Bearer),
            body: body.as_bytes(),
        };
        match egress.send(&url, &ask).await {
            Err(error) => none(&error.to_string()),
            Ok(reply) if !reply.status.is_success() => none(&refusal(reply.status)),
            Ok(reply) => match reply.json::<Answer>() {
                Ok(answer) => answer.status.verdict(audiences),
                Err(_) => none("its answer is no TokenReview"),
            },
        }
    }

    async fn login_for(&self, url: &Url) -> Result<Option<SecretText>, Unreviewed> {
        let Some(file) = self.logins.as_deref().and_then(|dir| login_file(dir, url)) else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || {
            file.exists().then(|| TokenFile(file).read()).transpose()
        });
        match read.await {
            Ok(Ok(login)) => Ok(login),
            Ok(Err(error)) => none(&error.to_string()).map(|()| None),
            Err(_) => none("the token for it cannot be read").map(|()| None),
        }
    }
}

/// `HOST` or `HOST_PORT`: a colon could stand in no key of a Kubernetes Secret.
fn login_file(directory: &Path, url: &Url) -> Option<PathBuf> {
    let host = url.host_str()?.trim_matches(['[', ']']).replace(':', "-");
    let name = match url.port() {
        Some(port) => format!("{host}_{port}"),
        None => host,
    };
    Some(directory.join(name))
}

fn endpoint(api_server: &str) -> Option<Url> {
    let mut url = check_url(api_server).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(PATH);
    Some(url)
}

fn trusting(egress: &Egress, review: &Review) -> Result<Egress, Unreviewed> {
    let Some(ca) = &review.ca else {
        return Ok(egress.clone());
    };
    let certificates =
        parse_ca_bundle(ca.as_bytes()).map_err(|why| Unreviewed::None(why.to_owned()))?;
    Ok(egress.trusting_only(certificates))
}

fn none(why: &str) -> Result<(), Unreviewed> {
    Err(Unreviewed::None(words(why)))
}

fn refusal(status: StatusCode) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED => "; it does not know who asks, see REGCRED_REVIEW_TOKENS",
        StatusCode::FORBIDDEN => "; who asks needs the right to create tokenreviews",
        _ => "",
    };
    format!("it answers {}{hint}", status.as_u16())
}

fn words(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(LONGEST_WORDS).collect()
}

/// The token is not kept, and not needed to know it again.
fn key(review: &Review, audiences: &[String], bearer: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let ca = review.ca.as_deref().unwrap_or_default();
    let parts = [review.api_server.as_str(), ca, bearer];
    for part in parts
        .into_iter()
        .chain(audiences.iter().map(String::as_str))
    {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    audiences: Option<Vec<String>>,
    #[serde(default)]
    error: Option<String>,
}

impl Status {
    /// An API server that knows nothing of audiences names none; then the signed ones, which were checked, stand alone.
    fn verdict(&self, wanted: &[String]) -> Result<(), Unreviewed> {
        let named = self.audiences.as_deref().unwrap_or_default();
        if self.authenticated && (named.is_empty() || named.iter().any(|one| wanted.contains(one)))
        {
            return Ok(());
        }
        let why = match (&self.error, self.authenticated) {
            (Some(error), _) if !error.is_empty() => error.as_str(),
            (_, true) => "it is for other audiences",
            (_, false) => "it is not authenticated",
        };
        Err(Unreviewed::Refused(words(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn a_login_is_for_one_host() {
        for (text, expected) in [
            (
                "https://kubernetes.default.svc/x",
                "/d/kubernetes.default.svc",
            ),
            ("https://10.0.0.1:6443", "/d/10.0.0.1_6443"),
            ("https://[fd00::1]:6443", "/d/fd00--1_6443"),
        ] {
            let file = login_file(Path::new("/d"), &url(text)).expect("a file");
            assert_eq!(file, Path::new(expected));
        }
    }

    #[test]
    fn the_endpoint_is_below_the_servers_path() {
        for (server, expected) in [
            (
                "https://a:6443",
                "https://a:6443/apis/authentication.k8s.io/v1/tokenreviews",
            ),
            (
                "https://a/k8s/clusters/c1/",
                "https://a/k8s/clusters/c1/apis/authentication.k8s.io/v1/tokenreviews",
            ),
        ] {
            assert_eq!(endpoint(server).expect("a URL").as_str(), expected);
        }
    }

    #[test]
    fn only_an_authenticated_token_for_the_audience_passes() {
        let wanted = ["regcred".to_owned()];
        for (status, passes) in [
            (r#"{"authenticated": true, "audiences": ["regcred"]}"#, true),
            (r#"{"authenticated": true}"#, true),
            (r#"{"authenticated": true, "audiences": ["other"]}"#, false),
            (r#"{"authenticated": false, "error": "gone"}"#, false),
            ("{}", false),
        ] {
            let status: Status = serde_json::from_str(status).expect("a status");
            assert_eq!(status.verdict(&wanted).is_ok(), passes);
        }
    }
}
