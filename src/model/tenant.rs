//! A tenant as it is written: a team that shares credentials and keeps them from others.

use serde::{Deserialize, Serialize};

use super::body::{Text, body};
use super::labels::Labels;

body! {
    /// A tenant as written.
    #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
    pub struct TenantSpec { whole: "TenantInput"; patch: "TenantPatch"; }
    fields {
        /// Free text for people.
        description: Option<String> as Text<0, 4096>, optional;
        /// For people and portals.
        labels: Labels, default;
    }
    rules(_form) {
        description = description.filter(|text| !text.is_empty());
    }
    example {"description": "Payments team", "labels": {"department": "finance"}}
    patched {"description": "Payments and billing"}
}
