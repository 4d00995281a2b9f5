//! What a Sealed Secrets controller does, written from its documentation: it unseals.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// A controller with its key and certificate.
pub struct Controller {
    key: KeyPair,
    certificate: String,
}

impl Controller {
    /// One whose certificate is valid now.
    pub fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        Self::valid(now - Duration::days(1), now + Duration::days(30))
    }

    /// One whose certificate is valid from one time to another.
    pub fn valid(from: OffsetDateTime, to: OffsetDateTime) -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        (params.not_before, params.not_after) = (from, to);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { key, certificate }
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// Unseals a value for a place; none if the value is for another.
    pub fn open(&self, value: &str, label: &str) -> Option<Vec<u8>> {
        let sealed = BASE64_STANDARD.decode(value).expect("base64");
        let (length, rest) = sealed.split_at(2);
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (wrapped, body) = rest.split_at(length);
        let key = PrivateDecryptingKey::from_pkcs8(&self.key.serialize_der()).expect("RSA");
        let key = OaepPrivateDecryptingKey::new(key).expect("RSA");
        let mut session = vec![0; key.min_output_size()];
        let label = Some(label.as_bytes()).filter(|label| !label.is_empty());
        let session = key
            .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut session, label)
            .ok()?;
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, session).expect("32 bytes"));
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let plain = cipher.open_in_place(nonce, Aad::empty(), &mut body).ok()?;
        Some(plain.to_vec())
    }

    /// The Secret that the controller makes of a SealedSecret.
    pub fn unseal(&self, sealed: &Value) -> Value {
        assert_eq!(sealed["apiVersion"], "bitnami.com/v1alpha1");
        assert_eq!(sealed["kind"], "SealedSecret");
        let metadata = &sealed["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        let is_set = |scope: &str| {
            metadata["annotations"][format!("sealedsecrets.bitnami.com/{scope}")] == "true"
        };
        let label = if is_set("cluster-wide") {
            String::new()
        } else if is_set("namespace-wide") {
            text("namespace").to_owned()
        } else {
            format!("{}/{}", text("namespace"), text("name"))
        };
        let mut secret = sealed["spec"]["template"].clone();
        secret["apiVersion"] = "v1".into();
        secret["kind"] = "Secret".into();
        for (key, value) in sealed["spec"]["encryptedData"].as_object().expect("a map") {
            let value = value.as_str().expect("a text");
            let plain = self.open(value, &label).expect("sealed for this place");
            secret["data"][key] = BASE64_STANDARD.encode(plain).into();
        }
        secret
    }
}
