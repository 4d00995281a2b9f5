//! What is wrong with a value, and where.

use serde::Serialize;
use utoipa::ToSchema;

/// One thing wrong with a request, pointing at the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mistake {
    /// JSON pointer (RFC 6901) into the body; `/name` for a query parameter or path segment `name`.
    #[schema(example = "/registry")]
    pub pointer: String,
    /// Stable word for the kind of mistake.
    #[schema(example = "invalid-registry")]
    pub code: &'static str,
    /// What is wrong and what would be right, in a sentence. Never holds a secret.
    pub detail: String,
}

/// What is wrong with one value, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable word for the kind of mistake.
    pub code: &'static str,
    /// What is wrong and what would be right, in a sentence. Never holds a secret.
    pub detail: String,
}

impl Fault {
    /// A fault with its code and its sentence.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// The fault at its place.
    pub fn at(self, pointer: impl Into<String>) -> Mistake {
        Mistake {
            pointer: pointer.into(),
            code: self.code,
            detail: self.detail,
        }
    }
}
