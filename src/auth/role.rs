//! Roles and what each may do: the one permission table.

use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::model::mistake::Fault;
use crate::model::spelled::spelled;
use crate::text_wire;

spelled! {
    /// What a caller is to a tenant, or to the platform. Weakest first.
    pub enum Role: "Role" or "invalid-role" {
        /// Reads everything but secrets.
        Viewer = "viewer",
        /// Renders manifests and reads the pull secrets behind them.
        Puller = "puller",
        /// Viewer, and writes credentials and pull secrets; never sees a stored secret.
        Editor = "editor",
        /// Editor, puller, and the tenant's tokens, role bindings and audit trail.
        Owner = "owner",
        /// Platform: tenants, identity providers, keys and the platform's audit trail; no tenant's secrets.
        Operator = "operator",
        /// Platform: operator, and owner of every tenant.
        Admin = "admin",
    }
}

/// A role that is held in a tenant.
pub struct TenantRole;

/// A role that is held on the platform.
pub struct PlatformRole;

text_wire!(TenantRole => Role, in_tenant, schema_of(|role| !role.is_platform()));
text_wire!(PlatformRole => Role, on_platform, schema_of(Role::is_platform));

fn schema_of(is_meant: impl Fn(Role) -> bool) -> ObjectBuilder {
    let words = Role::ALL
        .into_iter()
        .filter(|role| is_meant(*role))
        .map(Role::as_str);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
}

fn in_tenant(text: &str) -> Result<Role, Fault> {
    let role = Role::parse(text).ok().filter(|role| !role.is_platform());
    let detail = "expected viewer, puller, editor or owner; roles of the platform are held by tokens of its own only";
    role.ok_or_else(|| Fault::new("invalid-role", detail))
}

fn on_platform(text: &str) -> Result<Role, Fault> {
    let role = Role::parse(text).ok().filter(|role| role.is_platform());
    let detail = "expected operator or admin; other roles are held in a tenant";
    role.ok_or_else(|| Fault::new("invalid-role", detail))
}

/// Something a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Ask who one is; any valid caller.
    WhoAmI,
    /// List the tenants one has a role in; any valid caller.
    ListTenants,
    /// Lint a document that is stored nowhere; any valid caller.
    Lint,
    /// Explain an auth file that is stored nowhere; any valid caller.
    Explain,
    /// Read a tenant.
    ReadTenant,
    /// Create, change and delete tenants.
    WriteTenant,
    /// Read credentials without their secrets.
    ReadCredentials,
    /// Write, roll back and delete credentials.
    WriteCredentials,
    /// Read pull secrets.
    ReadPullSecrets,
    /// Write and delete pull secrets.
    WritePullSecrets,
    /// Render a stored pull secret.
    RenderPullSecret,
    /// Render any credential, or any set of them.
    RenderAnything,
    /// Explain which stored credential a client would use; shows no secret.
    ExplainStored,
    /// Make what holds no secret: image-puller bindings and service account links.
    Link,
    /// Import credentials, and the pull secret that lists them.
    Import,
    /// Create, read and revoke a tenant's tokens.
    ManageTokens,
    /// Read, write and delete a tenant's role bindings.
    ManageRoleBindings,
    /// Read a tenant's audit trail.
    ReadAudit,
    /// Create, read and revoke the platform's tokens.
    ManagePlatformTokens,
    /// Read identity providers: who makes role bindings must see whose tokens they take.
    ReadIdentityProviders,
    /// Write and delete identity providers.
    ManageIdentityProviders,
    /// Read the platform's audit trail.
    ReadPlatformAudit,
}

impl Action {
    /// Which roles would do, for a caller whose role does not. An admin may everything.
    pub fn needed(self) -> &'static str {
        match self {
            Self::WhoAmI | Self::ListTenants | Self::Lint | Self::Explain => {
                "this needs a valid token"
            }
            Self::ReadTenant => "this needs the role viewer, puller, editor, owner or operator",
            Self::ReadCredentials => "this needs the role viewer, editor or owner",
            Self::ReadPullSecrets | Self::ExplainStored | Self::Link => {
                "this needs the role viewer, puller, editor or owner"
            }
            Self::WriteCredentials | Self::WritePullSecrets | Self::Import => {
                "this needs the role editor or owner"
            }
            Self::RenderPullSecret | Self::RenderAnything => "this needs the role puller or owner",
            Self::ManageTokens | Self::ManageRoleBindings | Self::ReadAudit => {
                "this needs the role owner"
            }
            Self::ReadIdentityProviders => "this needs the role owner or operator",
            Self::WriteTenant | Self::ManageIdentityProviders | Self::ReadPlatformAudit => {
                "this needs the role operator"
            }
            Self::ManagePlatformTokens => "this needs the role admin",
        }
    }

    /// Whether any valid caller may, whatever its roles.
    pub fn is_for_anybody(self) -> bool {
        matches!(
            self,
            Self::WhoAmI | Self::ListTenants | Self::Lint | Self::Explain
        )
    }
}

impl Role {
    /// Whether the role is held on the platform, not in a tenant.
    pub fn is_platform(self) -> bool {
        matches!(self, Self::Operator | Self::Admin)
    }

    /// The permission table.
    pub fn allows(self, action: Action) -> bool {
        use Action as A;
        let view = matches!(
            action,
            A::ReadTenant | A::ReadCredentials | A::ReadPullSecrets | A::ExplainStored | A::Link
        );
        let pull = matches!(
            action,
            A::ReadTenant
                | A::ReadPullSecrets
                | A::ExplainStored
                | A::Link
                | A::RenderPullSecret
                | A::RenderAnything
        );
        let own = matches!(
            action,
            A::ManageTokens | A::ManageRoleBindings | A::ReadAudit | A::ReadIdentityProviders
        );
        let edit = matches!(
            action,
            A::WriteCredentials | A::WritePullSecrets | A::Import
        );
        let operate = matches!(
            action,
            A::ReadTenant
                | A::WriteTenant
                | A::ReadIdentityProviders
                | A::ManageIdentityProviders
                | A::ReadPlatformAudit
        );
        action.is_for_anybody()
            || match self {
                Self::Viewer => view,
                Self::Puller => pull,
                Self::Editor => view || edit,
                Self::Owner => view || edit || pull || own,
                Self::Operator => operate,
                Self::Admin => true,
            }
    }

    /// Whether everything that `other` allows is allowed here too: nobody grants more than they
    /// hold.
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Admin, _) | (Self::Operator, Self::Operator) => true,
            (Self::Owner, other) => !other.is_platform(),
            (Self::Editor, other) => matches!(other, Self::Editor | Self::Viewer),
            (mine, other) => mine == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 22] = [
        Action::WhoAmI,
        Action::ListTenants,
        Action::Lint,
        Action::Import,
        Action::Explain,
        Action::ExplainStored,
        Action::ReadTenant,
        Action::WriteTenant,
        Action::ReadCredentials,
        Action::WriteCredentials,
        Action::ReadPullSecrets,
        Action::WritePullSecrets,
        Action::RenderPullSecret,
        Action::RenderAnything,
        Action::Link,
        Action::ManageTokens,
        Action::ManageRoleBindings,
        Action::ReadAudit,
        Action::ManagePlatformTokens,
        Action::ReadIdentityProviders,
        Action::ManageIdentityProviders,
        Action::ReadPlatformAudit,
    ];

    #[test]
    fn covering_a_role_means_allowing_all_it_allows() {
        for mine in Role::ALL {
            for other in Role::ALL {
                let all = ACTIONS
                    .into_iter()
                    .all(|action| mine.allows(action) || !other.allows(action));
                assert!(all || !mine.covers(other), "{mine:?} covers {other:?}");
            }
        }
    }

    #[test]
    fn what_is_said_to_be_needed_is() {
        for action in ACTIONS
            .into_iter()
            .filter(|action| !action.is_for_anybody())
        {
            for role in Role::ALL {
                let said = action.needed().contains(role.as_str());
                let may = role.allows(action);
                let admin = role == Role::Admin && action != Action::ManagePlatformTokens;
                assert_eq!(said || admin, may, "{role:?}, {action:?}");
            }
        }
    }

    #[test]
    fn only_pullers_owners_and_admins_render() {
        for role in Role::ALL {
            let expected = matches!(role, Role::Puller | Role::Owner | Role::Admin);
            assert_eq!(role.allows(Action::RenderPullSecret), expected, "{role:?}");
            assert_eq!(role.allows(Action::RenderAnything), expected, "{role:?}");
        }
    }

    #[test]
    fn an_operator_sees_nothing_inside_a_tenant() {
        for action in [
            Action::ReadCredentials,
            Action::ReadPullSecrets,
            Action::ManageTokens,
            Action::ManageRoleBindings,
            Action::ReadAudit,
        ] {
            assert!(!Role::Operator.allows(action), "{action:?}");
        }
    }
}
