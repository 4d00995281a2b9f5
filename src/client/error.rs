//! Why a call did not work, in one line, without secrets.

use std::path::PathBuf;

/// Longest text of a server that is shown, in characters.
const MOST_SHOWN: usize = 400;

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL of the server is none.
    #[error("the URL of regcred must look like https://regcred.example.com")]
    Url,
    /// A file cannot be used.
    #[error("{}: {why}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is nobody to call as.
    #[error("there is no token to call with: {0}")]
    NoToken(&'static str),
    /// No answer.
    #[error("cannot reach {server}: {why}")]
    Unreachable {
        /// Scheme, host and port.
        server: String,
        /// What the network said.
        why: String,
    },
    /// An answer that sends elsewhere.
    #[error(
        "{server} answers with a redirect, which is not followed; set the URL of regcred itself"
    )]
    Redirect {
        /// Scheme, host and port.
        server: String,
    },
    /// A problem of the API.
    #[error("{server} answers {status}: {detail}")]
    Refused {
        /// Scheme, host and port.
        server: String,
        /// HTTP status.
        status: u16,
        /// What the problem says, printable.
        detail: String,
    },
    /// Something that regcred does not answer.
    #[error("{server} does not answer as regcred does: {why}")]
    NotRegcred {
        /// Scheme, host and port.
        server: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl ClientError {
    /// The status, if the server refused.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// One line of printable characters, cut where it becomes too long.
pub(super) fn shown(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MOST_SHOWN).collect()
}
