//! The signature algorithms that are taken. There is no `none` and no HMAC here to be chosen.

use aws_lc_rs::signature::{self, RsaParameters, VerificationAlgorithm};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::mistake::Fault;

/// An asymmetric algorithm of JWS (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each is its name in RFC 7518")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
}

/// How a key checks a signature.
pub enum Scheme {
    /// With modulus and exponent.
    Rsa(&'static RsaParameters),
    /// With a point of this curve.
    Curve(&'static str, &'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The name in JWS.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Reads the name in JWS, which is case-sensitive.
    ///
    /// # Errors
    /// `invalid-algorithm` that lists all.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let found = Self::ALL.into_iter().find(|known| known.as_str() == text);
        found.ok_or_else(|| {
            Fault::new(
                "invalid-algorithm",
                "expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA; none and HMAC are never accepted",
            )
        })
    }

    /// The same for the library that checks tokens; it has no ES512.
    pub fn of_library(self) -> Option<jsonwebtoken::Algorithm> {
        use jsonwebtoken::Algorithm as A;
        Some(match self {
            Self::RS256 => A::RS256,
            Self::RS384 => A::RS384,
            Self::RS512 => A::RS512,
            Self::PS256 => A::PS256,
            Self::PS384 => A::PS384,
            Self::PS512 => A::PS512,
            Self::ES256 => A::ES256,
            Self::ES384 => A::ES384,
            Self::ES512 => return None,
            Self::EdDSA => A::EdDSA,
        })
    }

    /// What checks its signatures. RSA keys have 2048 bits or more (RFC 7518, section 3.3).
    pub fn scheme(self) -> Scheme {
        match self {
            Self::RS256 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Self::ES256 => Scheme::Curve("P-256", &signature::ECDSA_P256_SHA256_FIXED),
            Self::ES384 => Scheme::Curve("P-384", &signature::ECDSA_P384_SHA384_FIXED),
            Self::ES512 => Scheme::Curve("P-521", &signature::ECDSA_P521_SHA512_FIXED),
            Self::EdDSA => Scheme::Curve("Ed25519", &signature::ED25519),
        }
    }
}
