//! `docker-credential-regcred`: a credential helper for Docker, Podman, Skopeo and Buildah.
//!
//! The protocol is that of `docker-credential-helpers`: the action is the one argument, its input is
//! standard input, and both the result and the error are standard output, with exit code 0 or 1.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use zeroize::Zeroizing;

use super::{complain, one_thread, say};
use crate::auth_file::docker_session::is_session_key;
use crate::client::error::ClientError;
use protocol::{Action, Stored};
use session::Session;

mod accounts;
mod caller;
mod protocol;
mod reading;
mod session;
mod settings;
mod writing;

/// The name under which the program is this helper.
const NAME: &str = "docker-credential-regcred";

/// Longest input in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

const HELP: &str = "\
A credential helper that asks regcred.

Usage: docker-credential-regcred <get|list|store|erase|version>

Docker and Podman call it, with the input on standard input:
  get      a registry; answers the account for it
  list     nothing; answers the registries and their users
  store    an account as JSON; the caller must be an editor
  erase    a registry; the caller must be an editor
  version  nothing

Settings, in ~/.config/regcred/helper.toml or in the environment, which stands over it:
  url          REGCRED_URL          URL of regcred
  tenant       REGCRED_TENANT       name of the tenant
  pull_secret  REGCRED_PULL_SECRET  name of the pull secret
  token_file   REGCRED_TOKEN_FILE   file with the caller's token
  ca_file      REGCRED_CA_BUNDLE      PEM file of a CA to trust beside those of the system";

/// Why an action failed. The texts of the first three are the protocol's: clients compare them.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("credentials not found in native keychain")]
    NotFound,
    #[error("no credentials server URL")]
    NoServer,
    #[error("no credentials username")]
    NoUsername,
    #[error("regcred: {0}")]
    Settings(String),
    #[error("regcred: {0}")]
    Input(&'static str),
    #[error("regcred: {0}")]
    Refused(String),
    #[error("regcred: {0}")]
    Client(#[from] ClientError),
    #[error("regcred: {0}")]
    System(#[from] std::io::Error),
}

/// Whether the program was called by the helper's name.
pub(super) fn is_called(program: &OsString) -> bool {
    Path::new(program)
        .file_stem()
        .is_some_and(|stem| stem == NAME)
}

/// Runs the helper with the arguments after its name.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let action = match words.as_slice() {
        ["version" | "--version" | "-V"] => {
            say(&format!("{NAME} (regcred) v{}", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS;
        }
        ["--help" | "-h" | "help"] => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        [word] => Action::parse(word),
        _ => None,
    };
    let Some(action) = action else {
        complain(&format!(
            "usage: {NAME} <get|list|store|erase|version>; {NAME} --help says more"
        ));
        return ExitCode::from(2);
    };
    match perform(action) {
        Ok(result) => {
            if let Some(result) = result {
                say(&result);
            }
            ExitCode::SUCCESS
        }
        // Clients read the error where the result would be.
        Err(error) => {
            say(&error.to_string().replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn perform(action: Action) -> Result<Option<Zeroizing<String>>, HelperError> {
    let input = match action {
        Action::List => Zeroizing::new(String::new()),
        _ => read_input()?,
    };
    // What is wrong with the input is told before anything is read or asked.
    let server = input.trim();
    if matches!(action, Action::Get | Action::Erase) && server.is_empty() {
        return Err(HelperError::NoServer);
    }
    let account = match action {
        Action::Store => Some(Stored::parse(&input)?),
        _ => None,
    };
    let asked = account.as_ref().map_or(server, |account| &account.server);
    if is_session_key(asked) {
        // Docker logs in to, and out of, Docker Hub with it; it is a person's, and stays with that person.
        return match action {
            Action::Get => Err(HelperError::NotFound),
            _ => Ok(None),
        };
    }
    let session = Session::open(settings::load()?)?;
    one_thread()?.block_on(async {
        match (action, account) {
            (Action::Get, _) => reading::get(&session, server).await.map(Some),
            (Action::List, _) => reading::list(&session).await.map(Some),
            (Action::Store, Some(account)) => {
                writing::store(&session, &account).await.map(|()| None)
            }
            (Action::Store, None) => Err(HelperError::NoServer),
            (Action::Erase, _) => writing::erase(&session, server).await.map(|()| None),
        }
    })
}

fn read_input() -> Result<Zeroizing<String>, HelperError> {
    let mut input = Zeroizing::new(String::new());
    std::io::stdin()
        .take(MOST_BYTES)
        .read_to_string(&mut input)?;
    Ok(input)
}
