//! Which action each route is: the router asks here, so a route without an entry answers nobody.

use axum::http::Method;

use super::role::Action;

/// The action that a request to a route is, by method and path template.
///
/// `None` for a route that nobody decided about; it is refused for everybody, and a test walks the
/// router to find it before a caller does.
pub fn action_of(method: &Method, template: &str) -> Option<Action> {
    use Action as A;
    let read = method == Method::GET || method == Method::HEAD;
    let in_tenant = template.strip_prefix("/v1/tenants/{tenant}");
    let action = match (template, in_tenant) {
        ("/v1/whoami", _) => A::WhoAmI,
        ("/v1/tenants", _) => A::ListTenants,
        ("/v1/lint", _) => A::Lint,
        ("/v1/explain", _) => A::Explain,
        ("/v1/tokens" | "/v1/tokens/{token}", _) => A::ManagePlatformTokens,
        ("/v1/identity-providers" | "/v1/identity-providers/{identity_provider}", _) if read => {
            A::ReadIdentityProviders
        }
        ("/v1/identity-providers" | "/v1/identity-providers/{identity_provider}", _) => {
            A::ManageIdentityProviders
        }
        ("/v1/audit-events", _) => A::ReadPlatformAudit,
        (_, Some("")) if read => A::ReadTenant,
        (_, Some("")) => A::WriteTenant,
        (
            _,
            Some(
                "/credentials" | "/credentials/{credential}" | "/credentials/{credential}/versions",
            ),
        ) if read => A::ReadCredentials,
        (
            _,
            Some(
                "/credentials/{credential}"
                | "/credentials/{credential}/rollback"
                | "/credentials/{credential}/previous",
            ),
        ) => A::WriteCredentials,
        (_, Some("/credentials/{credential}/verify" | "/discover")) => A::WriteCredentials,
        (_, Some("/credentials/{credential}/manifest" | "/manifest")) => A::RenderAnything,
        (_, Some("/pull-secrets" | "/pull-secrets/{pull_secret}")) if read => A::ReadPullSecrets,
        (_, Some("/pull-secrets/{pull_secret}")) => A::WritePullSecrets,
        (
            _,
            Some(
                "/pull-secrets/{pull_secret}/manifest"
                | "/pull-secrets/{pull_secret}/credential-provider",
            ),
        ) => A::RenderPullSecret,
        (
            _,
            Some("/pull-secrets/{pull_secret}/consumers" | "/pull-secrets/{pull_secret}/links"),
        ) if read => A::ReadPullSecrets,
        // A link lends what its maker may do.
        (
            _,
            Some("/pull-secrets/{pull_secret}/links" | "/pull-secrets/{pull_secret}/links/{link}"),
        ) => A::RenderPullSecret,
        (_, Some("/pull-secrets/{pull_secret}/service-account-link" | "/image-puller")) => A::Link,
        (_, Some("/imports")) => A::Import,
        (_, Some("/explain")) => A::ExplainStored,
        (_, Some("/tokens" | "/tokens/{token}")) => A::ManageTokens,
        (_, Some("/role-bindings" | "/role-bindings/{role_binding}")) => A::ManageRoleBindings,
        (_, Some("/audit-events")) => A::ReadAudit,
        _ => return None,
    };
    Some(action)
}
