//! The signature algorithms that are taken. There is no `none` and no HMAC here to be chosen.

use aws_lc_rs::signature::{self, RsaParameters, VerificationAlgorithm};

use crate::model::spelled::spelled;

spelled! {
    /// An asymmetric algorithm of JWS (RFC 7518, section 3.1; RFC 8037, section 3.1). There is no `none` and no HMAC.
    pub enum Algorithm: "Algorithm" or "invalid-algorithm" {
        /// As in RFC 7518.
        RS256 = "RS256",
        /// As in RFC 7518.
        RS384 = "RS384",
        /// As in RFC 7518.
        RS512 = "RS512",
        /// As in RFC 7518.
        PS256 = "PS256",
        /// As in RFC 7518.
        PS384 = "PS384",
        /// As in RFC 7518.
        PS512 = "PS512",
        /// As in RFC 7518.
        ES256 = "ES256",
        /// As in RFC 7518.
        ES384 = "ES384",
        /// As in RFC 7518.
        ES512 = "ES512",
        /// As in RFC 8037.
        EdDSA = "EdDSA",
    }
}

/// How a key checks a signature.
pub enum Scheme {
    /// With modulus and exponent.
    Rsa(&'static RsaParameters),
    /// With a point of this curve.
    Curve(&'static str, &'static dyn VerificationAlgorithm),
}

impl Algorithm {
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
