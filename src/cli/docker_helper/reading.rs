//! `get` and `list`.

use zeroize::Zeroizing;

use super::HelperError;
use super::caller::Caller;
use super::session::Session;
use crate::cli::complain;

/// The account for a registry.
///
/// # Errors
/// `NotFound` where there is none, or none for this caller that it could store itself.
pub(super) async fn get(session: &Session, server: &str) -> Result<Zeroizing<String>, HelperError> {
    match session.accounts().await {
        Ok(accounts) => accounts.get(server),
        Err(HelperError::Client(error)) if matches!(error.status(), Some(403 | 404)) => {
            Err(refused(session, error.into()).await?)
        }
        Err(error) => Err(error),
    }
}

/// The registries and their users.
pub(super) async fn list(session: &Session) -> Result<Zeroizing<String>, HelperError> {
    session.accounts().await?.list()
}

/// Podman asks before it stores what somebody logged in with, and gives up unless it hears that there
/// is nothing: an editor, who may not read, and whoever logs in before there is a pull secret, would
/// never get to store anything.
async fn refused(session: &Session, error: HelperError) -> Result<HelperError, HelperError> {
    let caller = Caller::of(session).await?;
    if !caller.stores() {
        return Ok(error);
    }
    if matches!(&error, HelperError::Client(error) if error.status() == Some(403)) {
        let roles = caller.roles();
        complain(&format!(
            "this caller ({roles}) may store accounts and not read them; to pull, use the token of a puller"
        ));
    }
    Ok(HelperError::NotFound)
}
