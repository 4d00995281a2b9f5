//! temporary
#![allow(missing_docs)]
pub mod plan {
    use super::super::model::{credential::*, mistake::*, name::*, pull_secret::*, secret::*};
    pub struct Item {
        pub credential: Name,
        pub spec: CredentialSpec,
        pub registry: Opened,
        pub auth_server: Option<Opened>,
        pub rejected: bool,
    }
    pub struct Opened {
        pub secret: SecretText,
        pub revision: Revision,
    }
    pub struct Revision {
        pub credential_id: uuid::Uuid,
        pub version: u64,
    }
    pub struct Request {
        pub items: Vec<Item>,
        pub on_conflict: OnConflict,
        pub layout: Layout,
        pub target: Target,
        pub default_name: ObjectName,
        pub secret_name_override: Option<ObjectName>,
        pub now: time::OffsetDateTime,
    }
    pub enum RenderError {
        Conflict(Vec<String>),
        Other,
    }
    impl RenderError {
        pub fn into_mistakes(self) -> Vec<Mistake> {
            vec![]
        }
    }
    pub fn plan(_r: Request) -> Result<super::bundle::Bundle, RenderError> {
        Err(RenderError::Other)
    }
}
pub mod bundle {
    pub struct Bundle {
        pub warnings: Vec<String>,
    }
}
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Format {
    #[default]
    Secret,
    ImagePuller,
}
impl Format {
    pub fn parse(_: &str) -> Result<Self, crate::model::mistake::Fault> {
        Ok(Self::Secret)
    }
    pub fn as_str(self) -> &'static str {
        ""
    }
    pub fn has_output(self, _: Output) -> bool {
        true
    }
    pub fn default_output(self) -> Output {
        Output::Yaml
    }
    pub fn media_type(self, _: Output) -> &'static str {
        ""
    }
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    Yaml,
    Json,
}
pub struct Rendered {
    pub bytes: zeroize::Zeroizing<Vec<u8>>,
    pub media_type: &'static str,
}
pub fn render(_: &bundle::Bundle, _: Format, _: Output) -> Result<Rendered, plan::RenderError> {
    Err(plan::RenderError::Other)
}
pub fn fingerprint(_: &bundle::Bundle, _: Format, _: Output) -> String {
    String::new()
}
pub mod image_puller {
    use crate::model::{name::*, pull_secret::*};
    pub struct Grant {
        pub namespace: Namespace,
        pub service_accounts: ServiceAccounts,
        pub pull_from: Vec<Namespace>,
    }
    pub fn render_grant(
        _: &Grant,
        _: super::Output,
    ) -> Result<super::Rendered, super::plan::RenderError> {
        Err(super::plan::RenderError::Other)
    }
}
pub mod link {
    #[derive(serde::Serialize, utoipa::ToSchema)]
    pub struct Link {
        pub x: String,
    }
    pub struct ServiceAccountObject;
    impl ServiceAccountObject {
        pub fn read(_: serde_json::Value) -> Result<Self, Vec<crate::model::mistake::Mistake>> {
            Ok(Self)
        }
    }
}
