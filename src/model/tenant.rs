//! A tenant as it is written: a team that shares credentials and keeps them from others.

use serde::{Deserialize, Serialize};

use super::form::{self, Form};
use super::json::Json;
use super::labels::{self, Labels};
use super::mistake::Mistake;

/// A tenant as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantSpec {
    /// Free text for people.
    pub description: Option<String>,
    /// For people and portals.
    pub labels: Labels,
}

impl TenantSpec {
    /// Reads a tenant as written (contract: `PUT /v1/tenants/{tenant}`).
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(document: Json) -> Result<Self, Vec<Mistake>> {
        let mut form = Form::new(document, "");
        let description = form
            .optional(
                "description",
                form::text_up_to(super::credential::MOST_DESCRIPTION_BYTES),
            )
            .filter(|text| !text.is_empty());
        let labels = labels::read_labels(&mut form, "labels").unwrap_or_default();
        form.finish(Some(Self {
            description,
            labels,
        }))
    }
}
