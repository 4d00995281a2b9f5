//! The hybrid scheme of the Sealed Secrets controller: a random AES-256-GCM key for each value,
//! wrapped by RSA-OAEP (SHA-256) with a label that binds the value to its place.
//!
//! As documented by the controller (`docs/developer/crypto.md` there), a sealed value is the length of
//! the wrapped key (two bytes, big-endian), the wrapped key, the encrypted value and its tag. The nonce
//! is zero, which is safe because no key is used twice.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use crate::model::labels::Labels;
use crate::model::mistake::Fault;
use crate::model::spelled::spelled;

/// The annotation that says "anywhere in the cluster".
const CLUSTER_WIDE: &str = "sealedsecrets.bitnami.com/cluster-wide";
/// The annotation that says "under any name in the namespace".
const NAMESPACE_WIDE: &str = "sealedsecrets.bitnami.com/namespace-wide";

spelled! {
    /// Where a sealed value can be unsealed.
    #[derive(Default)]
    pub enum SealingScope: "SealingScope" or "invalid-scope" {
        /// In its namespace, under its name.
        #[default]
        Strict = "strict",
        /// In its namespace, under any name.
        NamespaceWide = "namespace-wide",
        /// Anywhere in the cluster.
        ClusterWide = "cluster-wide",
    }
}

impl SealingScope {
    /// The scope that annotations of a Secret ask for, as `kubeseal` reads them.
    pub fn of(annotations: &Labels) -> Self {
        let is_set = |name: &str| annotations.get(name).is_some_and(|value| value == "true");
        if is_set(CLUSTER_WIDE) {
            Self::ClusterWide
        } else if is_set(NAMESPACE_WIDE) {
            Self::NamespaceWide
        } else {
            Self::Strict
        }
    }

    /// Annotations that ask for this scope and no other.
    pub(super) fn annotated(self, mut annotations: Labels) -> Labels {
        annotations.remove(CLUSTER_WIDE);
        annotations.remove(NAMESPACE_WIDE);
        let name = match self {
            Self::Strict => return annotations,
            Self::NamespaceWide => NAMESPACE_WIDE,
            Self::ClusterWide => CLUSTER_WIDE,
        };
        annotations.insert(name.into(), "true".into());
        annotations
    }

    /// What a value is bound to.
    pub(super) fn label(self, namespace: &str, name: &str) -> String {
        match self {
            Self::Strict => format!("{namespace}/{name}"),
            Self::NamespaceWide => namespace.to_owned(),
            Self::ClusterWide => String::new(),
        }
    }
}

/// The public key of a controller.
#[derive(Debug, Clone)]
pub struct SealingKey {
    key: PublicEncryptingKey,
    fingerprint: [u8; 32],
}

impl SealingKey {
    /// Reads the controller's certificate; of several in one text the first, as `kubeseal` does.
    ///
    /// # Errors
    /// `invalid-certificate` for what is no certificate of an RSA key of 2048 to 8192 bits,
    /// `expired-certificate` outside of its time.
    pub fn parse(pem: &str, now: OffsetDateTime) -> Result<Self, Fault> {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|_| no_certificate())?;
        if pem.label != "CERTIFICATE" {
            return Err(no_certificate());
        }
        let (rest, certificate) =
            X509Certificate::from_der(&pem.contents).map_err(|_| no_certificate())?;
        if !rest.is_empty() {
            return Err(no_certificate());
        }
        check_time(&certificate, now)?;
        let key = PublicEncryptingKey::from_der(certificate.public_key().raw)
            .ok()
            .filter(|key| OaepPublicEncryptingKey::new(key.clone()).is_ok())
            .ok_or_else(|| {
                Fault::new(
                    "invalid-certificate",
                    "the certificate's key is no RSA key of 2048 to 8192 bits",
                )
            })?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &pem.contents).as_ref());
        Ok(Self { key, fingerprint })
    }
}

fn no_certificate() -> Fault {
    Fault::new(
        "invalid-certificate",
        "expected a certificate in PEM, as `kubeseal --fetch-cert` prints it",
    )
}

fn check_time(certificate: &X509Certificate<'_>, now: OffsetDateTime) -> Result<(), Fault> {
    let validity = certificate.validity();
    let now = now.unix_timestamp();
    let fault = |what: &str| Err(Fault::new("expired-certificate", what));
    if now < validity.not_before.timestamp() {
        return fault("the certificate is not valid yet");
    }
    if now > validity.not_after.timestamp() {
        return fault("the certificate has expired; fetch the controller's current one");
    }
    Ok(())
}

/// How values are sealed.
#[derive(Debug, Clone)]
pub struct Sealing {
    way: Way,
    /// The scope asked for; without one the annotations of the target decide.
    pub(super) scope: Option<SealingScope>,
}

#[derive(Debug, Clone)]
enum Way {
    /// For real.
    Encrypt(SealingKey),
    /// As a digest of what would be sealed with which key, to tell states apart.
    Digest([u8; 32]),
}

impl Sealing {
    /// Seals with a key.
    pub fn new(key: SealingKey, scope: Option<SealingScope>) -> Self {
        Self {
            way: Way::Encrypt(key),
            scope,
        }
    }

    /// Gives equal values for equal texts, and nothing that can be unsealed.
    pub(super) fn stand_in(&self) -> Self {
        let fingerprint = match &self.way {
            Way::Encrypt(key) => key.fingerprint,
            Way::Digest(fingerprint) => *fingerprint,
        };
        Self {
            way: Way::Digest(fingerprint),
            scope: self.scope,
        }
    }

    /// Seals a value for its place.
    pub(super) fn seal(&self, value: &[u8], label: &str) -> Result<Vec<u8>, Unsealable> {
        match &self.way {
            Way::Encrypt(key) => encrypt(&key.key, value, label.as_bytes()),
            Way::Digest(fingerprint) => {
                let text = Zeroizing::new([fingerprint, value].concat());
                Ok(digest(&SHA256, &text).as_ref().to_vec())
            }
        }
    }
}

/// The library refused a key that it had accepted.
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be encrypted with this certificate")]
pub(super) struct Unsealable;

fn encrypt(key: &PublicEncryptingKey, value: &[u8], label: &[u8]) -> Result<Vec<u8>, Unsealable> {
    let mut session_key = Zeroizing::new([0_u8; 32]);
    rand::fill(session_key.as_mut_slice()).map_err(|_| Unsealable)?;
    let wrapped = wrap(key, session_key.as_slice(), label)?;
    let mut body = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
    body.extend_from_slice(value);
    let cipher = UnboundKey::new(&AES_256_GCM, session_key.as_slice()).map_err(|_| Unsealable)?;
    LessSafeKey::new(cipher)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key([0; NONCE_LEN]),
            Aad::empty(),
            &mut *body,
        )
        .map_err(|_| Unsealable)?;
    let length = u16::try_from(wrapped.len()).map_err(|_| Unsealable)?;
    Ok([&length.to_be_bytes()[..], &wrapped, &body].concat())
}

fn wrap(
    key: &PublicEncryptingKey,
    session_key: &[u8],
    label: &[u8],
) -> Result<Vec<u8>, Unsealable> {
    let key = OaepPublicEncryptingKey::new(key.clone()).map_err(|_| Unsealable)?;
    let mut wrapped = vec![0; key.ciphertext_size()];
    let label = Some(label).filter(|label| !label.is_empty());
    let length = key
        .encrypt(&OAEP_SHA256_MGF1SHA256, session_key, &mut wrapped, label)
        .map_err(|_| Unsealable)?
        .len();
    wrapped.truncate(length);
    Ok(wrapped)
}
