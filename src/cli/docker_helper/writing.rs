//! `store` and `erase`, for callers who are editors.
//!
//! What the helper stored it may delete; what others stored it changes or takes out of the pull
//! secret, and never deletes: a `docker logout` must not take a team's credential away.

use reqwest::Method;
use reqwest::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use serde::Deserialize;
use serde_json::{Value, json};

use super::HelperError;
use super::caller::Caller;
use super::protocol::{Stored, TOKEN_USER};
use super::session::Session;
use crate::client::api::Call;
use crate::client::error::ClientError;
use crate::model::labels::Labels;
use crate::model::registry_path::RegistryPath;

/// The label of credentials that the helper made.
const MADE_BY: (&str, &str) = ("regcred.io/stored-by", "docker-credential-regcred");
/// How often a write is tried when others write at the same time, or a name is taken.
const MOST_TRIES: usize = 20;

#[derive(Deserialize)]
struct Page {
    items: Vec<Credential>,
}

#[derive(Deserialize)]
struct Credential {
    name: String,
    version: i64,
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize)]
struct PullSecret {
    version: i64,
    credentials: Vec<String>,
    selector: Option<Selector>,
}

#[derive(Deserialize)]
struct Selector {
    labels: Labels,
}

impl PullSecret {
    fn means(&self, credential: &Credential) -> bool {
        let selected = |selector: &Selector| {
            let has = |(name, value)| credential.labels.get(name) == Some(value);
            selector.labels.iter().all(has)
        };
        self.credentials.contains(&credential.name) || self.selector.as_ref().is_some_and(selected)
    }
}

/// Stores an account: in the pull secret's credential for the registry, or in a new one.
pub(super) async fn store(session: &Session, account: &Stored) -> Result<(), HelperError> {
    let registry = registry_of(&account.server)?;
    refuse_unless_editor(session, "store").await?;
    let pull_secret = pull_secret(session).await?;
    match known(session, &registry, pull_secret.as_ref()).await? {
        Some(credential) => update(session, &credential, account).await,
        None => {
            let name = create(session, &registry, account).await?;
            let added = add(session, &name).await;
            if added.is_err() {
                // Left alone it would be a secret that nobody asked to keep.
                let path = session.in_tenant(&["credentials", &name]);
                let _ = session.call(deletion(&path, &[])).await;
            }
            added
        }
    }
}

/// Takes the account for a registry out of the pull secret.
pub(super) async fn erase(session: &Session, server: &str) -> Result<(), HelperError> {
    let registry = registry_of(server)?;
    refuse_unless_editor(session, "erase").await?;
    let pull_secret = pull_secret(session).await?.ok_or(HelperError::NotFound)?;
    let credential = known(session, &registry, Some(&pull_secret))
        .await?
        .ok_or(HelperError::NotFound)?;
    let name = credential.name.as_str();
    if credential.labels.get(MADE_BY.0).map(String::as_str) == Some(MADE_BY.1) {
        let path = session.in_tenant(&["credentials", name]);
        let delete = deletion(&path, &[("detach", "true")]);
        let delete = delete.only(IF_MATCH, quoted(credential.version));
        session.call(delete).await?;
        return Ok(());
    }
    if !pull_secret.credentials.iter().any(|known| known == name) {
        return Err(HelperError::Refused(format!(
            "the pull secret finds credential {name} by its labels; change them to take it out"
        )));
    }
    remove(session, name).await
}

fn registry_of(server: &str) -> Result<RegistryPath, HelperError> {
    RegistryPath::parse(server.trim())
        .map_err(|_| HelperError::Input("the server URL is no registry"))
}

/// Asked first, so that the refusal says what is missing.
async fn refuse_unless_editor(session: &Session, action: &str) -> Result<(), HelperError> {
    let caller = Caller::of(session).await?;
    if caller.stores() {
        return Ok(());
    }
    let roles = caller.roles();
    let tenant = &session.tenant;
    Err(HelperError::Refused(format!(
        "{action} needs the role editor in tenant {tenant}, where this caller is {roles}; credentials are stored through the API or its portal"
    )))
}

async fn pull_secret(session: &Session) -> Result<Option<PullSecret>, HelperError> {
    let path = session.in_pull_secret(&[]);
    match session.call(Call::get(&path, &[])).await {
        Ok(answer) => Ok(Some(answer.json()?)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The credential for a registry path that the pull secret means.
async fn known(
    session: &Session,
    registry: &RegistryPath,
    pull_secret: Option<&PullSecret>,
) -> Result<Option<Credential>, HelperError> {
    let Some(pull_secret) = pull_secret else {
        return Ok(None);
    };
    let path = session.in_tenant(&["credentials"]);
    let query = [("registry", registry.as_str()), ("limit", "500")];
    let page: Page = session.call(Call::get(&path, &query)).await?.json()?;
    Ok(page
        .items
        .into_iter()
        .find(|credential| pull_secret.means(credential)))
}

/// The members of a credential that say who logs in with what.
fn login(account: &Stored) -> Value {
    let secret = account.secret.expose();
    if account.username == TOKEN_USER {
        json!({"kind": "identity_token", "username": null, "secret": secret})
    } else {
        json!({"kind": "password", "username": account.username, "secret": secret})
    }
}

async fn update(
    session: &Session,
    credential: &Credential,
    account: &Stored,
) -> Result<(), HelperError> {
    let path = session.in_tenant(&["credentials", &credential.name]);
    let condition = quoted(credential.version);
    let written = session
        .write(
            Method::PATCH,
            &path,
            &login(account),
            (IF_MATCH, &condition),
        )
        .await;
    written.map(drop).map_err(HelperError::from)
}

/// Makes a credential under a free name that tells its registry.
async fn create(
    session: &Session,
    registry: &RegistryPath,
    account: &Stored,
) -> Result<String, HelperError> {
    let mut body = login(account);
    body["registry"] = registry.as_str().into();
    body["labels"] = json!({MADE_BY.0: MADE_BY.1});
    let base = name_of(registry);
    for attempt in 1..=MOST_TRIES {
        let name = match attempt {
            1 => base.clone(),
            _ => format!("{base}-{attempt}"),
        };
        let path = session.in_tenant(&["credentials", &name]);
        match session
            .write(Method::PUT, &path, &body, (IF_NONE_MATCH, "*"))
            .await
        {
            Ok(_) => return Ok(name),
            Err(error) if is_lost(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(HelperError::Refused(format!(
        "the names {base} to {base}-{MOST_TRIES} are taken"
    )))
}

/// An RFC 1123 label that leaves room for a number.
fn name_of(registry: &RegistryPath) -> String {
    let dashed = registry
        .as_str()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let short: String = dashed.trim_matches('-').chars().take(56).collect();
    format!("r-{}", short.trim_end_matches('-'))
}

/// Lists a credential in the pull secret, which is made if there is none.
async fn add(session: &Session, name: &str) -> Result<(), HelperError> {
    change_list(session, |before| {
        let mut credentials = before.to_vec();
        credentials.push(name.to_owned());
        Ok(credentials)
    })
    .await
}

async fn remove(session: &Session, name: &str) -> Result<(), HelperError> {
    change_list(session, |before| {
        let credentials: Vec<String> = before
            .iter()
            .filter(|known| *known != name)
            .cloned()
            .collect();
        if credentials.is_empty() {
            return Err(HelperError::Refused(format!(
                "{name} is the last credential of the pull secret; delete the pull secret itself through the API"
            )));
        }
        Ok(credentials)
    })
    .await
}

/// Reads the list, changes it and writes it, again where another was faster.
async fn change_list(
    session: &Session,
    change: impl Fn(&[String]) -> Result<Vec<String>, HelperError>,
) -> Result<(), HelperError> {
    let path = session.in_pull_secret(&[]);
    for _ in 0..MOST_TRIES {
        let before = pull_secret(session).await?;
        let (method, condition, credentials): (Method, (HeaderName, String), _) = match &before {
            Some(before) => (
                Method::PATCH,
                (IF_MATCH, quoted(before.version)),
                change(&before.credentials)?,
            ),
            None => (Method::PUT, (IF_NONE_MATCH, "*".into()), change(&[])?),
        };
        let body = json!({"credentials": credentials});
        let condition = (condition.0, condition.1.as_str());
        match session.write(method, &path, &body, condition).await {
            Ok(_) => return Ok(()),
            Err(error) if is_lost(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(HelperError::Refused(
        "others change the pull secret all the time; try again".into(),
    ))
}

fn deletion<'a>(path: &'a [&'a str], query: &'a [(&'a str, &'a str)]) -> Call<'a> {
    Call {
        method: Method::DELETE,
        ..Call::get(path, query)
    }
}

fn quoted(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether a precondition did not hold.
fn is_lost(error: &ClientError) -> bool {
    error.status() == Some(412)
}

#[cfg(test)]
mod tests {
    use super::name_of;
    use crate::model::name::Name;
    use crate::model::registry_path::RegistryPath;

    #[test]
    fn every_registry_has_a_name() {
        let long = format!("{}.example.com", "a".repeat(60));
        for (registry, expected) in [
            ("quay.io", "r-quay-io"),
            ("quay.io/team", "r-quay-io-team"),
            ("localhost:5000", "r-localhost-5000"),
            ("[2001:db8::1]:5000", "r-2001-db8--1--5000"),
            ("*.example.com", "r-example-com"),
            (&long, &format!("r-{}", "a".repeat(56))),
        ] {
            let registry = RegistryPath::parse(registry).expect("a valid registry");
            let name = name_of(&registry);
            assert_eq!(name, expected);
            assert!(Name::parse(&format!("{name}-20")).is_ok(), "{name}");
        }
    }
}
