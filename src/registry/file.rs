//! Trying the accounts of an auth file: the same check as of stored credentials, where the file itself
//! says which accounts belong together.

use futures_util::StreamExt;

use super::discover;
use super::egress::Egress;
use super::endpoint;
use super::verdict::{Half, State, Verdict};
use super::verify::{self, AuthServer, Keeping, Subject};
use crate::model::account::Account;
use crate::model::registry_path::RegistryPath;

/// How many are tried at once.
const MOST_AT_ONCE: usize = 8;

/// An account at a registry path.
#[derive(Debug, Clone)]
pub struct FileAccount {
    /// What it is for.
    pub registry: RegistryPath,
    /// Who logs in, with what.
    pub account: Account,
}

/// Tries all accounts, each once, in no order; `tried` is told of each. Gives a verdict an account, in
/// their order.
///
/// An auth file knows no pairs: a realm at another host gets an account only where the file names the
/// very same one for that host too.
pub async fn verify_all(
    egress: &Egress,
    accounts: &[FileAccount],
    tried: impl Fn(&RegistryPath),
) -> Vec<Verdict> {
    let firsts: Vec<usize> = (0..accounts.len())
        .map(|at| first_like(accounts, at))
        .collect();
    let unique = (0..accounts.len()).filter(|at| firsts[*at] == *at);
    let tries = unique.map(|at| {
        let tried = &tried;
        async move {
            let verdict = verify_one(egress, accounts, at).await;
            tried(&accounts[at].registry);
            (at, verdict)
        }
    });
    let done: Vec<(usize, Verdict)> = futures_util::stream::iter(tries)
        .buffer_unordered(MOST_AT_ONCE)
        .collect()
        .await;
    let of = |at: usize| done.iter().find(|(known, _)| *known == firsts[at]);
    let verdicts: Vec<Verdict> = (0..accounts.len())
        .filter_map(|at| of(at).map(|(_, verdict)| verdict.clone()))
        .collect();
    accounts
        .iter()
        .zip(&verdicts)
        .map(|(one, verdict)| as_auth_server(&one.registry, verdict, accounts, &verdicts))
        .collect()
}

/// The first account that logs in at the same host in the same way: its verdict is that of all.
fn first_like(accounts: &[FileAccount], at: usize) -> usize {
    let one = &accounts[at];
    let same = |other: &FileAccount| {
        other.registry.host() == one.registry.host() && other.account.same_login(&one.account)
    };
    accounts.iter().position(same).unwrap_or(at)
}

async fn verify_one(egress: &Egress, accounts: &[FileAccount], at: usize) -> Verdict {
    let FileAccount { registry, account } = &accounts[at];
    let subject = Subject {
        registry: registry.clone(),
        account: account.clone(),
        auth_server: partner(egress, accounts, at).await,
        repository: None,
        kept_in: Keeping::File,
    };
    verify::verify(egress, &subject).await
}

/// The entry for the host that the registry sends its clients to, if it has the same account.
async fn partner(egress: &Egress, accounts: &[FileAccount], at: usize) -> Option<AuthServer> {
    let one = &accounts[at];
    let root = endpoint::api_root(&one.registry)?;
    let realm = discover::ask(egress, &root).await.ok()?.realm?;
    if endpoint::is_at(&realm, &one.registry) {
        return None;
    }
    accounts
        .iter()
        .find(|other| {
            endpoint::is_at(&realm, &other.registry) && other.account.same_login(&one.account)
        })
        .map(|other| AuthServer {
            registry: other.registry.clone(),
            account: other.account.clone(),
        })
}

/// An auth server is no registry and cannot be tried as one; what it said as the other half counts.
fn as_auth_server(
    registry: &RegistryPath,
    verdict: &Verdict,
    accounts: &[FileAccount],
    verdicts: &[Verdict],
) -> Verdict {
    if !matches!(verdict.state(), State::Inconclusive | State::Unreachable) {
        return verdict.clone();
    }
    let said = accounts.iter().zip(verdicts).find_map(|(other, verdict)| {
        let half = verdict.auth_server.as_ref()?;
        let is_it = half.endpoint == registry.host() && half.state != State::Inconclusive;
        is_it.then_some((&other.registry, half))
    });
    match said {
        Some((of, half)) => Verdict {
            registry: Half {
                detail: format!("{}, as the auth server of {of}", half.detail),
                ..half.clone()
            },
            auth_server: None,
        },
        None => verdict.clone(),
    }
}
