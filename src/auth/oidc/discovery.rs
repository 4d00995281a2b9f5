//! Where an issuer says that its keys are (OpenID Connect Discovery 1.0).

use std::future::Future;
use std::pin::Pin;

use serde::Deserialize;
use url::Url;

use super::jwk::KeySet;
use super::provider::check_url;
use crate::registry::egress::Egress;

/// Something that fetches documents from others, within its own limits of time, size and place.
pub trait Documents: Send + Sync {
    /// Fetches what stands at a URL; why not in words otherwise.
    fn get<'a>(&'a self, url: &'a Url) -> Fetching<'a>;

    /// Whether the URL may be asked at all, as far as its scheme and name tell.
    ///
    /// # Errors
    /// Why not, in a sentence.
    fn check(&self, url: &Url) -> Result<(), String>;
}

/// A document that is on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;

impl Documents for Egress {
    fn get<'a>(&'a self, url: &'a Url) -> Fetching<'a> {
        Box::pin(async move {
            let reply = self.get(url).await.map_err(|error| error.to_string())?;
            if reply.status.is_success() {
                Ok(reply.body.to_vec())
            } else {
                Err(format!("the answer has status {}", reply.status.as_u16()))
            }
        })
    }

    fn check(&self, url: &Url) -> Result<(), String> {
        if url.scheme() == "http" && !self.may_use_plain_http() {
            return Err(
                "expected https; plain HTTP is for the networks of REGCRED_ALLOW_NETWORKS only"
                    .into(),
            );
        }
        self.check(url).map_err(|error| error.to_string())
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Fetches an issuer's keys, from `jwks_uri` or from where its discovery document says.
///
/// # Errors
/// Why there are none, in words.
pub async fn fetch_keys(
    documents: &dyn Documents,
    issuer: &str,
    jwks_uri: Option<&str>,
) -> Result<KeySet, String> {
    let place = match jwks_uri {
        Some(uri) => uri.to_owned(),
        None => discover(documents, issuer).await?,
    };
    KeySet::parse(&documents.get(&parsed(&place)?).await?)
}

/// Section 4.3: the document's issuer must be exactly the one that was asked.
async fn discover(documents: &dyn Documents, issuer: &str) -> Result<String, String> {
    let document = documents.get(&parsed(&well_known(issuer))?).await?;
    let metadata: Metadata = serde_json::from_slice(&document)
        .map_err(|_| "the discovery document has no issuer and jwks_uri".to_owned())?;
    if metadata.issuer != issuer {
        return Err("the discovery document is of another issuer".into());
    }
    Ok(metadata.jwks_uri)
}

/// Section 4.1.
fn well_known(issuer: &str) -> String {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    format!("{base}/.well-known/openid-configuration")
}

fn parsed(text: &str) -> Result<Url, String> {
    check_url(text).map_err(|fault| fault.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_slash_is_not_doubled() {
        for issuer in ["https://a.example/x", "https://a.example/x/"] {
            assert_eq!(
                well_known(issuer),
                "https://a.example/x/.well-known/openid-configuration"
            );
        }
    }
}
