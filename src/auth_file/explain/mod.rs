//! Which credential a client would use for an image, and why.
//!
//! One trait, one file a client: what differs between the clients stands side by side there, and
//! [`CLIENTS`] is the table of them. `docs/clients.md` teaches the differences.

use super::parse::AuthFile;
use super::reading::{Class, Login, ReadError};
use crate::model::image_name::ImageError;
use crate::model::mistake::Fault;
use realm::Realm;

mod containers_image;
mod docker;
mod glob;
pub mod kubelet;
mod openshift_import;
pub mod realm;
pub mod report;
mod words;

/// A program that pulls images.
pub trait Client: Sync {
    /// Its name in the API.
    fn name(&self) -> &'static str;

    /// Whether it takes its credentials from Secrets, and only from those of the types that are made for
    /// them.
    fn reads_secrets(&self) -> bool {
        false
    }

    /// Which credential it would use.
    fn explain(&self, question: &Question<'_>) -> Explanation;
}

/// Every client, in the order in which they are shown.
pub const CLIENTS: [&dyn Client; 4] = [
    &kubelet::Kubelet,
    &containers_image::ContainersImage,
    &docker::Docker,
    &openshift_import::OpenshiftImport,
];

/// An auth file, or why nobody can read it.
pub type Parsed = Result<AuthFile, ReadError>;

/// What is asked.
#[derive(Debug)]
pub struct Question<'q> {
    /// The credentials that there are.
    pub file: &'q Parsed,
    /// The image, as a user writes it.
    pub image: &'q str,
    /// Where the registry sends clients to log in.
    pub realm: Option<&'q Realm>,
}

/// What a client would do.
#[derive(Debug)]
pub struct Explanation {
    /// What it looks up; none where the image is no image.
    pub lookup: Option<String>,
    /// What it finds, or why it fails.
    pub outcome: Result<Choice, Failure>,
}

/// What a client finds.
#[derive(Debug)]
pub struct Choice {
    /// The entries in the order in which it tries them; none means that it pulls anonymously, unless
    /// `effective` says otherwise.
    pub matches: Vec<Match>,
    /// What the first try amounts to.
    pub effective: Effective,
    /// Whether the real client picks at random; the choice here is the bytewise smallest key.
    pub ambiguous: bool,
    /// The key that ended the search without giving anything.
    pub stopped_at: Option<String>,
    /// The look-ups behind it, where there are several.
    pub steps: Vec<Step>,
    /// The look-ups that found nothing although another found something.
    pub missing: Vec<Half>,
    /// The reason in words.
    pub why: String,
}

/// An entry that a client tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which of several files it is in, in their order.
    pub file: usize,
    /// Its key there.
    pub key: String,
}

/// What a client would log in with.
#[derive(Debug)]
pub enum Effective {
    /// User name and password.
    Basic(Login),
    /// An OAuth2 refresh token.
    IdentityToken(Login),
    /// A bearer token, sent as it is.
    RegistryToken(Login),
    /// An entry without anything in it: tried, and anonymous.
    Anonymous,
    /// Whatever this credential helper answers.
    Helper(String),
    /// Nothing: no entry is used.
    None,
}

/// One of several look-ups.
#[derive(Debug)]
pub struct Step {
    /// What it is for.
    pub half: Half,
    /// The names it asks for, in their order.
    pub asked: Vec<String>,
    /// The key that it finds.
    pub found: Option<String>,
}

/// The two sides of a registry that has others log in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The registry itself.
    Registry,
    /// The server that authenticates for it.
    AuthServer,
}

/// Why a client would fail before it asks the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub class: FailureClass,
    /// What is wrong and where. Never holds a secret.
    pub detail: String,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The image is none.
    InvalidImage,
    /// The file cannot be read, whatever the image.
    AuthFile(Class),
    /// The entry that would be used cannot be read.
    Entry(Class),
}

impl FailureClass {
    /// As the API spells it.
    pub fn name(self) -> String {
        match self {
            Self::InvalidImage => "invalid-image".into(),
            Self::AuthFile(class) => format!("auth-file:{}", class.as_str()),
            Self::Entry(class) => format!("entry:{}", class.as_str()),
        }
    }
}

impl Failure {
    /// What it means for a pull, in words.
    fn why(&self) -> String {
        let detail = &self.detail;
        match self.class {
            FailureClass::InvalidImage => {
                format!("This is no image name to this client: {detail}.")
            }
            FailureClass::AuthFile(_) => {
                format!("The whole file is refused, whatever the image: {detail}.")
            }
            FailureClass::Entry(_) => format!("The entry that is picked cannot be read: {detail}."),
        }
    }
}

impl Half {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::AuthServer => "auth_server",
        }
    }
}

impl Explanation {
    fn invalid_image(error: ImageError) -> Self {
        Self {
            lookup: None,
            outcome: Err(Failure {
                class: FailureClass::InvalidImage,
                detail: error.to_string(),
            }),
        }
    }

    fn unreadable_file(lookup: String, error: &ReadError) -> Self {
        Self {
            lookup: Some(lookup),
            outcome: Err(Failure {
                class: FailureClass::AuthFile(error.class),
                detail: error.to_string(),
            }),
        }
    }

    /// The same for a Secret of a type that the client passes over without a word.
    #[must_use]
    pub fn passed_over(self, secret_type: &str) -> Self {
        let outcome = self.outcome.map(|_| {
            Choice::nothing(format!(
                "Secrets of type {secret_type} are passed over without a word: it pulls anonymously."
            ))
        });
        Self { outcome, ..self }
    }

    /// The key that the registry's own look-up finds, where there are several look-ups.
    pub fn found_for_registry(&self) -> Option<&str> {
        let steps = self.outcome.as_ref().ok()?.steps.iter();
        let mut of_registry = steps.filter(|step| step.half == Half::Registry);
        of_registry.next()?.found.as_deref()
    }

    /// Whether the image is none to this client.
    pub fn is_invalid_image(&self) -> bool {
        matches!(&self.outcome, Err(failure) if failure.class == FailureClass::InvalidImage)
    }
}

impl Choice {
    /// Nothing is found.
    fn nothing(why: impl Into<String>) -> Self {
        Self {
            matches: Vec::new(),
            effective: Effective::None,
            ambiguous: false,
            stopped_at: None,
            steps: Vec::new(),
            missing: Vec::new(),
            why: why.into(),
        }
    }

    /// One entry is picked.
    fn one(key: &str, effective: Effective, why: impl Into<String>) -> Self {
        Self {
            matches: vec![Match {
                file: 0,
                key: key.to_owned(),
            }],
            effective,
            ..Self::nothing(why)
        }
    }

    /// A credential helper is asked instead.
    fn helper(helper: &str, why: impl Into<String>) -> Self {
        Self {
            effective: Effective::Helper(helper.to_owned()),
            ..Self::nothing(why)
        }
    }
}

impl Login {
    fn has_user_or_password(&self) -> bool {
        !self.username.is_empty() || !self.password.is_empty()
    }

    /// What a login amounts to for a client that prefers tokens; a token that it does not read is empty.
    fn effective(&self) -> Effective {
        if !self.registry_token.is_empty() {
            Effective::RegistryToken(self.clone())
        } else if !self.identity_token.is_empty() {
            Effective::IdentityToken(self.clone())
        } else if self.has_user_or_password() {
            Effective::Basic(self.clone())
        } else {
            Effective::Anonymous
        }
    }
}

/// The client of a name.
///
/// # Errors
/// `unknown-client` that lists all.
pub fn client_named(name: &str) -> Result<&'static dyn Client, Fault> {
    let found = CLIENTS.into_iter().find(|client| client.name() == name);
    found.ok_or_else(|| {
        let all = CLIENTS.map(Client::name).join(", ");
        Fault::new("unknown-client", format!("expected one of {all}"))
    })
}
