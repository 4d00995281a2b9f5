//! Which credential a client would use for an image, and why.
//!
//! One trait, one file a client: what differs between the clients stands side by side there, and
//! [`CLIENTS`] is the table of them. `docs/clients.md` teaches the differences.

use std::fmt;

use super::parse::{AuthFile, FileFormat};
use super::reading::{Class, Login, ReadError, Reader};
use crate::model::mistake::Fault;
use crate::model::spelled::{spelled, words};
use realm::Realm;

mod buildkit;
mod containers_image;
mod docker;
mod docker_cli;
mod ggcr;
mod glob;
pub mod kubelet;
mod nerdctl;
mod openshift_import;
mod oras;
pub mod reach;
pub mod realm;
pub mod report;
mod words;

/// A program that pulls images.
pub trait Client: Sync {
    /// Its name in the API.
    fn name(&self) -> &'static str;

    /// What people know it by, for a sentence.
    fn title(&self) -> &'static str;

    /// Programs that pull as it does, by the names that people call them.
    fn programs(&self) -> &'static [&'static str] {
        &[]
    }

    /// How it decodes an auth file.
    fn reader(&self) -> Reader;

    /// Whether it reads files of a format at all.
    fn reads(&self, _format: FileFormat) -> bool {
        true
    }

    /// Whether it takes its credentials from Secrets, and only from those of the types that are made for
    /// them.
    fn reads_secrets(&self) -> bool {
        false
    }

    /// Which credential it would use.
    fn explain(&self, question: &Question<'_>) -> Explanation;
}

/// Every client, in the order in which they are shown.
pub const CLIENTS: [&dyn Client; 8] = [
    &kubelet::Kubelet,
    &containers_image::ContainersImage,
    &docker::Docker,
    &openshift_import::OpenshiftImport,
    &ggcr::Ggcr,
    &buildkit::BuildKit,
    &nerdctl::Nerdctl,
    &oras::Oras,
];

words! {
    /// The name of a client.
    pub ClientName: "Client" = CLIENTS.map(|client| client.name())
}

/// Those that answer where nobody says which.
pub fn usual_clients() -> &'static [&'static dyn Client] {
    &CLIENTS[..4]
}

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
    /// The questions to credential helpers, in the order in which they are put; the first that a helper
    /// answers is the last.
    pub helper_calls: Vec<HelperCall>,
    /// What follows where no helper has an answer.
    pub otherwise: Option<Box<Choice>>,
    /// The reason in words.
    pub why: String,
}

/// A question to a credential helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperCall {
    /// The helper: the program is `docker-credential-` and this.
    pub helper: String,
    /// What it is asked for.
    pub server: String,
}

/// What a client goes on with after an error that it only warns of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoesOnWith {
    /// The key that it uses, if it knows of one.
    pub key: Option<String>,
    /// What logging in with it may amount to.
    pub kinds: Vec<LoginKind>,
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

spelled! {
    /// The two sides of a registry that has others log in for it.
    pub enum Half: "LookupHalf" or "invalid-value" {
        /// The registry itself.
        Registry = "registry",
        /// The server that authenticates for it.
        AuthServer = "auth_server",
    }
}

spelled! {
    /// What logging in amounts to. In order of the words, in which answers list them.
    pub enum LoginKind: "LoginKind" or "invalid-value" {
        /// An entry without anything in it: tried, and anonymous.
        Anonymous = "anonymous",
        /// User name and password.
        Basic = "basic",
        /// Whatever a credential helper answers.
        Helper = "helper",
        /// An OAuth2 refresh token.
        IdentityToken = "identity_token",
        /// Nothing: no entry is used.
        None = "none",
        /// A bearer token, sent as it is.
        RegistryToken = "registry_token",
    }
}

/// Why a client would fail before it asks the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub class: FailureClass,
    /// What is wrong and where. Never holds a secret.
    pub detail: String,
    /// What the client goes on with where the failure is only a warning to it: one of these, by chance.
    /// Empty where the pull ends.
    pub goes_on_with: Vec<GoesOnWith>,
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
    /// Every one.
    fn all() -> impl Iterator<Item = Self> {
        let of_files = Class::ALL.into_iter().map(Self::AuthFile);
        let of_entries = Class::ALL.into_iter().map(Self::Entry);
        [Self::InvalidImage]
            .into_iter()
            .chain(of_files)
            .chain(of_entries)
    }

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
    fn new(class: FailureClass, detail: impl fmt::Display) -> Self {
        Self {
            class,
            detail: detail.to_string(),
            goes_on_with: Vec::new(),
        }
    }

    /// What it means for a pull, in words.
    fn why(&self) -> String {
        let detail = &self.detail;
        match self.class {
            FailureClass::InvalidImage => {
                format!("This is no image name to this client: {detail}.")
            }
            FailureClass::AuthFile(_) if !self.goes_on_with.is_empty() => {
                format!(
                    "It warns of the file and goes on with what it knows of it by then: {detail}."
                )
            }
            FailureClass::AuthFile(_) => {
                format!("The whole file is refused, whatever the image: {detail}.")
            }
            FailureClass::Entry(_) => format!("The entry that is picked cannot be read: {detail}."),
        }
    }
}

impl Explanation {
    fn invalid_image(error: impl fmt::Display) -> Self {
        Self {
            lookup: None,
            outcome: Err(Failure::new(FailureClass::InvalidImage, error)),
        }
    }

    fn unreadable_file(lookup: String, error: &ReadError) -> Self {
        Self {
            lookup: Some(lookup),
            outcome: Err(Failure::new(FailureClass::AuthFile(error.class), error)),
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
            helper_calls: Vec::new(),
            otherwise: None,
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

    /// Credential helpers are asked; where none has an answer, something else follows.
    fn helpers(calls: Vec<HelperCall>, otherwise: Self, why: impl Into<String>) -> Self {
        let first = calls.first().map(|call| call.helper.clone());
        Self {
            effective: first.map_or(Effective::None, Effective::Helper),
            helper_calls: calls,
            otherwise: Some(Box::new(otherwise)),
            ..Self::nothing(why)
        }
    }
}

impl HelperCall {
    fn new(helper: &str, server: &str) -> Self {
        Self {
            helper: helper.to_owned(),
            server: server.to_owned(),
        }
    }
}

/// As an operator would say it: the helper, and what it is asked for.
impl fmt::Display for HelperCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.helper, self.server)
    }
}

impl Effective {
    /// Which of them it is.
    pub fn kind(&self) -> LoginKind {
        match self {
            Self::Basic(_) => LoginKind::Basic,
            Self::IdentityToken(_) => LoginKind::IdentityToken,
            Self::RegistryToken(_) => LoginKind::RegistryToken,
            Self::Anonymous => LoginKind::Anonymous,
            Self::Helper(_) => LoginKind::Helper,
            Self::None => LoginKind::None,
        }
    }
}

impl Login {
    /// Whether there is nothing to log in with.
    fn is_empty(&self) -> bool {
        !self.has_user_or_password()
            && self.identity_token.is_empty()
            && self.registry_token.is_empty()
    }

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

/// The client of a program that people know: `helm` pulls as `oras`.
pub fn client_of_program(program: &str) -> Option<&'static dyn Client> {
    let mut clients = CLIENTS.into_iter();
    clients.find(|client| client.programs().contains(&program))
}

/// The client of a name.
///
/// # Errors
/// `unknown-client` that lists all, or says which client a program pulls as.
pub fn client_named(name: &str) -> Result<&'static dyn Client, Fault> {
    let found = CLIENTS.into_iter().find(|client| client.name() == name);
    found.ok_or_else(|| {
        let detail = match client_of_program(name) {
            Some(client) => format!("{name} pulls as {}: ask for that", client.name()),
            None => {
                let all = CLIENTS.map(Client::name).join(", ");
                format!("expected one of {all}, or * for all")
            }
        };
        Fault::new("unknown-client", detail)
    })
}
