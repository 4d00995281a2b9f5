//! What is found: codes, how bad they are, whom they concern.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::auth_file::explain::{CLIENTS, Client, ClientName};
pub use crate::model::severity::Severity;
use crate::model::spelled::words;

/// kubelet, with the name that the API gives it.
pub const KUBELET: &str = "kubelet";
/// containers/image: Podman, CRI-O, Buildah, Skopeo.
pub const CONTAINERS_IMAGE: &str = "containers-image";
/// The Docker command line.
pub const DOCKER: &str = "docker";
/// OpenShift's image import.
pub const OPENSHIFT_IMPORT: &str = "openshift-import";
/// Those who pull images for pods and for people. A key that none of them ever uses pulls nothing.
pub const RUNTIMES: [&str; 4] = [KUBELET, CONTAINERS_IMAGE, DOCKER, OPENSHIFT_IMPORT];

/// Clients as the subject of a sentence, and the verb that goes with them.
pub(super) fn said(clients: &[&'static str], one: &'static str, many: &'static str) -> String {
    let titles: Vec<&str> = CLIENTS
        .into_iter()
        .filter(|client| clients.contains(&client.name()))
        .map(Client::title)
        .collect();
    let is_one = titles.len() == 1 && clients != [CONTAINERS_IMAGE];
    let verb = if is_one { one } else { many };
    match titles.split_last() {
        Some((last, [])) => format!("{last} {verb}"),
        Some((last, others)) => format!("{}, and {last} {verb}", others.join(", ")),
        None => format!("clients {many}"),
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $severity:ident;)*) => {
        /// The kinds of findings. `docs/lint.md` lists them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// How bad it is, unless it matters whom it concerns.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)*
                }
            }
        }
    };
}

codes! {
    /// It cannot be read at all, or some clients refuse all of it.
    Unreadable, "unreadable", Error;
    /// Neither an auth file nor a manifest.
    UnknownDocument, "unknown-document", Error;
    /// An entry that some clients refuse, and with it all others.
    BrokenEntry, "broken-entry", Error;
    /// Two accounts for one registry path.
    TwoAccounts, "two-accounts", Error;
    /// One account twice for one registry path.
    SamePathTwice, "same-path-twice", Warning;
    /// No account where there should be some.
    NoEntries, "no-entries", Warning;
    /// Entries that a reader which knows names as they are spelt never sees.
    AuthsUnseen, "auths-unseen", Warning;
    /// The session of Docker's command line, which belongs to a person.
    DockerSession, "docker-session", Warning;
    /// A key that names no registry.
    KeyInvalid, "key-invalid", Warning;
    /// A key with upper-case letters in its host.
    KeyUppercase, "key-uppercase", Warning;
    /// A key that ends with a slash.
    KeyTrailingSlash, "key-trailing-slash", Warning;
    /// Docker Hub in a spelling that not every client knows.
    KeyDockerHub, "key-docker-hub", Warning;
    /// A key with a wildcard, which only kubelet knows.
    KeyWildcard, "key-wildcard", Warning;
    /// An IPv6 address that some client cannot use.
    KeyIpv6, "key-ipv6", Warning;
    /// A path behind a scheme, which some client drops.
    KeyPathUnderScheme, "key-path-under-scheme", Warning;
    /// An API version in the key, which some client takes for a part of the path.
    KeyApiVersion, "key-api-version", Warning;
    /// Another key that some client never uses.
    KeyNeverMatched, "key-never-matched", Warning;
    /// A key whose path some client ignores.
    KeyPathIgnored, "key-path-ignored", Info;
    /// A key with a default port, which images are seldom written with.
    KeyDefaultPort, "key-default-port", Info;
    /// A key with a user name or password in it.
    KeyUserInfo, "key-user-info", Warning;
    /// User name and password without `auth`, which Podman ignores.
    NoAuth, "no-auth", Warning;
    /// `auth` says another account than the fields beside it.
    AuthDisagrees, "auth-disagrees", Warning;
    /// White space or control characters at an end of a user name or secret.
    OddAccount, "odd-account", Warning;
    /// An entry without an account.
    EmptyEntry, "empty-entry", Info;
    /// A token that some client ignores.
    TokenIgnored, "token-ignored", Warning;
    /// `credsStore` makes Docker ignore the entries.
    CredsStoreShadows, "creds-store-shadows", Warning;
    /// `credHelpers` makes some client ignore an entry.
    CredHelperShadows, "cred-helper-shadows", Warning;
    /// Credential helpers that some client ignores.
    HelperIgnored, "helper-ignored", Info;
    /// A file layout that Docker does not read any more.
    DockercfgIgnored, "dockercfg-ignored", Info;
    /// A Secret type that kubelet ignores.
    IgnoredType, "ignored-type", Warning;
    /// A Secret whose type wants another data key.
    TypeKeyMismatch, "type-key-mismatch", Error;
    /// An auth file that is laid out otherwise than its data key says.
    WrongShape, "wrong-shape", Error;
    /// A value that must be text and is none.
    NotText, "not-text", Error;
    /// A value of `data` that is no base64.
    NotBase64, "not-base64", Error;
    /// A value of `data` that was encoded twice.
    EncodedTwice, "encoded-twice", Error;
    /// A Secret without an auth file where its type wants one.
    EmptyValue, "empty-value", Error;
    /// More than Kubernetes takes.
    TooLarge, "too-large", Error;
    /// No valid name of an object.
    InvalidName, "invalid-name", Error;
    /// No valid namespace.
    InvalidNamespace, "invalid-namespace", Error;
    /// Another `apiVersion` than the kind has.
    WrongApiVersion, "wrong-api-version", Error;
    /// A reference to a Secret that is none.
    InvalidReference, "invalid-reference", Error;
    /// A reference to a Secret that names none.
    EmptyReference, "empty-reference", Info;
    /// A part of the document that nobody judged.
    NotLookedAt, "not-looked-at", Info;
    /// Metadata that only the API server sets.
    ServerSetMetadata, "server-set-metadata", Warning;
    /// An annotation with a copy of the secret.
    LastApplied, "last-applied-annotation", Warning;
    /// A ServiceAccount that would replace the list of an existing one.
    ServiceAccountReplacesList, "service-account-replaces-list", Warning;
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

words! {
    /// The kind of a finding, in a word.
    CodeWord: "FindingCode" = Code::ALL.iter().map(|code| code.as_str())
}

/// One thing to know about a document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable word for the kind of finding.
    #[schema(value_type = CodeWord, example = "key-docker-hub")]
    pub code: Code,
    /// What is so and what would be better. Never holds a secret.
    pub detail: String,
    /// JSON pointer (RFC 6901) into the document, and on into the auth file in it.
    #[schema(example = "/auths/docker.io")]
    pub pointer: String,
    /// Whom it concerns; empty where that does not depend on the client.
    #[schema(value_type = Vec<ClientName>, example = json!(["docker"]))]
    pub clients: Vec<&'static str>,
}

/// Most findings of one document.
const MOST: usize = 1000;

/// Findings as they come.
#[derive(Debug, Default)]
pub struct Findings {
    found: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// A finding that does not depend on the client.
    pub fn push(&mut self, code: Code, pointer: &str, detail: impl Into<String>) {
        self.push_for(code, code.severity(), pointer, &[], detail);
    }

    /// A finding that concerns some clients.
    pub fn push_for(
        &mut self,
        code: Code,
        severity: Severity,
        pointer: &str,
        clients: &[&'static str],
        detail: impl Into<String>,
    ) {
        if self.found.len() >= MOST {
            self.more += 1;
            return;
        }
        self.found.push(Finding {
            severity,
            code,
            detail: detail.into(),
            pointer: pointer.to_owned(),
            clients: CLIENTS
                .iter()
                .map(|client| client.name())
                .filter(|client| clients.contains(client))
                .collect(),
        });
    }

    /// Whether more of them would only be counted.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MOST
    }

    /// Findings whose severity was changed, worst first again.
    pub fn resorted(findings: impl Iterator<Item = Finding>) -> Vec<Finding> {
        let mut found: Vec<Finding> = findings.collect();
        found.sort_by_key(|finding| finding.severity);
        found
    }

    /// All of them, worst first; those that are equally bad as they came.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|finding| finding.severity);
        if self.more > 0
            && let Some(last) = self.found.last_mut()
        {
            last.detail
                .push_str(&format!(" (and {} findings more)", self.more));
        }
        self.found
    }
}
