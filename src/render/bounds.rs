//! How large an answer may become, told before it is written.
//!
//! Lists of names are bounded each, but not their products: accounts times namespaces, Secrets times annotations. What would
//! not fit into an answer is refused by what it is made of, not after it was made.

use super::Format;
use super::bundle::{Bundle, Endpoint, PlannedSecret};
use super::image_puller::Grant;
use super::plan::RenderError;
use crate::model::labels::Labels;
use crate::model::pull_secret::ServiceAccounts;

/// No answer is larger (contract, section 2), nor is one written that comes near it.
const MOST_BYTES: usize = 15 * 1024 * 1024;
/// What stands around the values of an entry of an auth file.
const ENTRY: usize = 160;
/// What stands around names and values in an object, whichever it is.
const OBJECT: usize = 768;
/// What stands around a label or an annotation.
const PAIR: usize = 16;
/// What stands around a Secret's name where it is linked.
const LINK: usize = 96;

/// Refuses what would be too large in a format.
///
/// # Errors
/// `too-large`, with what it is made of.
pub(super) fn check(bundle: &Bundle, format: Format) -> Result<(), RenderError> {
    let bytes = match format {
        Format::DockerConfig
        | Format::PodmanAuth
        | Format::DockerCfg
        | Format::CredentialProvider => entries(bundle.endpoints.iter()),
        Format::Data | Format::DataPrevious | Format::HelmValues => 2 * secrets(bundle),
        Format::Secret => encoded(secrets(bundle)) + objects(bundle) + bindings(bundle),
        Format::SealedSecret => {
            encoded(encoded(secrets(bundle))) + objects(bundle) + bindings(bundle)
        }
        Format::Oc | Format::Kubectl => {
            2 * secrets(bundle) + 3 * objects(bundle) + links(bundle) + 2 * bindings(bundle)
        }
        Format::ServiceAccount => links(bundle),
        Format::ImagePuller => bindings(bundle),
        Format::ExternalSecret => objects(bundle),
    };
    refuse_over(bytes, || {
        let target = &bundle.target;
        format!(
            "{} Secrets for {} service accounts, and {} namespaces to pull from",
            bundle.secrets.len(),
            count(&target.service_accounts),
            target.pull_from.len()
        )
    })
}

/// Refuses a grant that would be too large.
///
/// # Errors
/// `too-large`, with what it is made of.
pub(super) fn check_grant(grant: &Grant, labels: &Labels) -> Result<(), RenderError> {
    let (accounts, namespaces) = (count(&grant.service_accounts), grant.pull_from.len());
    refuse_over(accounts * namespaces * (OBJECT + pairs(labels)), || {
        format!("{accounts} service accounts times {namespaces} namespaces to pull from")
    })
}

fn refuse_over(bytes: usize, what: impl FnOnce() -> String) -> Result<(), RenderError> {
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let detail = format!(
        "this would be an answer of about {} MiB, and none is larger than 16: {}",
        bytes / (1024 * 1024),
        what()
    );
    Err(RenderError::at("/target", "too-large", detail))
}

fn count(accounts: &ServiceAccounts) -> usize {
    accounts.to_list().len()
}

fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> usize {
    pairs
        .into_iter()
        .map(|(key, value)| PAIR + key.len() + json_bytes(value))
        .sum()
}

fn bindings(bundle: &Bundle) -> usize {
    let target = &bundle.target;
    count(&target.service_accounts) * target.pull_from.len() * (OBJECT + pairs(&target.labels))
}

fn links(bundle: &Bundle) -> usize {
    let name = |secret: &PlannedSecret| LINK + secret.name.as_str().len();
    let one: usize = bundle.secrets.iter().map(name).sum();
    count(&bundle.target.service_accounts) * (OBJECT + pairs(&bundle.target.labels) + one)
}

fn objects(bundle: &Bundle) -> usize {
    let target = &bundle.target;
    bundle.secrets.len() * (OBJECT + pairs(&target.labels) + pairs(&target.annotations))
}

/// The data of all Secrets.
fn secrets(bundle: &Bundle) -> usize {
    let data = |secret| entries(bundle.endpoints_of(secret).into_iter());
    bundle.secrets.iter().map(data).sum()
}

fn entries<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> usize {
    let entry = |endpoint: &Endpoint| {
        let account = &endpoint.account;
        let user = account.auth_user();
        let email = account.email.as_deref().unwrap_or_default();
        ENTRY
            + endpoint.path.as_str().len()
            + json_bytes(user)
            + json_bytes(email)
            + json_bytes(account.secret.expose())
            + encoded(user.len() + 1 + account.secret.len())
    };
    endpoints.map(entry).sum()
}

/// The length in base64.
fn encoded(bytes: usize) -> usize {
    bytes / 3 * 4 + 4
}

/// The length of a text in JSON, without its quotes.
fn json_bytes(text: &str) -> usize {
    let length = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::{Namespace, ObjectName};

    fn grant(accounts: usize, namespaces: usize) -> Grant {
        let account = |at| ObjectName::parse(&format!("a{at}")).expect("a name");
        let namespace = |at| Namespace::parse(&format!("n{at}")).expect("a name");
        Grant {
            namespace: namespace(0),
            service_accounts: ServiceAccounts::Named((0..accounts).map(account).collect()),
            pull_from: (0..namespaces).map(namespace).collect(),
        }
    }

    #[test]
    fn a_product_of_two_lists_is_bounded() {
        assert!(check_grant(&grant(100, 100), &Labels::new()).is_ok());
        assert!(check_grant(&grant(500, 1), &Labels::new()).is_ok());
        let refused = check_grant(&grant(500, 500), &Labels::new());
        assert!(
            matches!(refused, Err(RenderError::Mistake(mistake)) if mistake.code == "too-large")
        );
    }

    #[test]
    fn a_text_is_as_long_as_json_makes_it() {
        for text in ["plain", "\"quoted\\\"", "\u{1}\u{1f}", "ä€"] {
            let json = serde_json::to_string(text).expect("a text");
            assert_eq!(json_bytes(text) + 2, json.len(), "{text:?}");
        }
    }
}
