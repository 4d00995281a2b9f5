//! Parameters as the document describes them; each is read elsewhere, as it says.

use utoipa::IntoParams;

/// `limit` and `page_token`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what page::slice reads")]
pub struct PageParams {
    /// Most items, 1 to 500; 100 unless given.
    #[param(example = 100)]
    limit: Option<i64>,
    /// The `next_page_token` of the page before.
    page_token: Option<String>,
}

/// Filters of a list of credentials. Everything given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what credentials::list reads")]
pub struct CredentialFilters {
    /// This registry path exactly, in any spelling.
    #[param(example = "quay.io/team")]
    registry: Option<String>,
    /// `key=value`; may be given more than once.
    #[param(example = json!(["team=payments"]))]
    label: Option<Vec<String>>,
    /// `accepted`, `rejected`, `unreachable`, `inconclusive` or `unverified`.
    #[param(example = "unverified")]
    verification: Option<String>,
    /// Expires before this time (RFC 3339).
    #[param(example = "2027-01-01T00:00:00Z")]
    expires_before: Option<String>,
}

/// Filters of an audit trail. Everything given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what audit_events::filter reads")]
pub struct AuditFilters {
    /// An action, or with a dot at its end all that begin so.
    #[param(example = "credential.")]
    action: Option<String>,
    /// Id or name of who acted.
    #[param(example = "portal")]
    actor: Option<String>,
    /// What it was done to, or with a slash at its end all below it.
    #[param(example = "pull-secrets/team-pull")]
    target: Option<String>,
    /// `success`, `failure` or `denied`.
    #[param(example = "denied")]
    outcome: Option<String>,
    /// The address that the request came from.
    #[param(example = "192.0.2.7")]
    source: Option<String>,
    /// The `X-Request-Id` of the answer.
    #[param(example = "01939d7e-1f00-7000-8000-000000000001")]
    request_id: Option<String>,
    /// At this time or later (RFC 3339).
    #[param(example = "2027-01-01T00:00:00Z")]
    since: Option<String>,
    /// Before this time (RFC 3339).
    #[param(example = "2027-02-01T00:00:00Z")]
    until: Option<String>,
    /// `json`, a page; or `jsonl`, all events, one a line. Otherwise as `Accept` says.
    #[param(example = "json")]
    output: Option<String>,
    /// `start`, `now`, or the `cursor` of an earlier answer: the events after it, each once and none missed, oldest first,
    /// with the next `cursor` and whether there is `more` already. Taken alone, or with `limit`.
    #[param(example = "now")]
    follow: Option<String>,
}

/// What a read takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what conditional::is_known reads")]
pub struct ReadConditions {
    /// Entity tags that the client has; 304 if one is current.
    #[param(rename = "If-None-Match", example = "\"3\"")]
    if_none_match: Option<String>,
}

/// What a rendering takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what manifests::answer reads")]
pub struct RenderConditions {
    /// Entity tags that the client has; 304 if one is current.
    #[param(
        rename = "If-None-Match",
        example = "\"8f14e45fceea167a5a36dedd4bea2543\""
    )]
    if_none_match: Option<String>,
    /// `wait=N` holds a request with `If-None-Match` for up to N seconds, at most 60, until there is
    /// something else than the client has; `Preference-Applied` in the answer says that it did.
    #[param(rename = "Prefer", example = "wait=30")]
    prefer: Option<String>,
}

/// What a write takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what conditional::precondition reads")]
pub struct WriteConditions {
    /// Write only over this version; 412 otherwise.
    #[param(rename = "If-Match", example = "\"3\"")]
    if_match: Option<String>,
    /// `*` creates only; 412 if there is one already.
    #[param(rename = "If-None-Match", example = "*")]
    if_none_match: Option<String>,
}

/// What a creating POST takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what idempotency::once reads")]
pub struct IdempotencyHeader {
    /// The same key and body within 24 hours give the first answer again; another body is 422.
    #[param(rename = "Idempotency-Key", example = "5f2c7f0e-rotation-17")]
    idempotency_key: Option<String>,
}

/// No parameters.
#[derive(IntoParams)]
pub struct NoParams {}

/// The tenant of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes a path segment")]
pub struct TenantParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
}

/// The tenant and the credential of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct CredentialParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the credential.
    #[param(example = "connect")]
    credential: String,
}

/// The tenant and the pull secret of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct PullSecretParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the pull secret.
    #[param(example = "team-pull")]
    pull_secret: String,
}

/// The identity provider of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes a path segment")]
pub struct ProviderParam {
    /// Name of the identity provider.
    #[param(example = "cluster-a")]
    identity_provider: String,
}

/// The tenant and the role binding of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct BindingParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the role binding.
    #[param(example = "builders")]
    role_binding: String,
}

/// The token of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes a path segment")]
pub struct TokenParam {
    /// Id or name of the token.
    #[param(example = "ci")]
    token: String,
}

/// The tenant, the pull secret and the link of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes path segments")]
pub struct LinkParam {
    /// Name of the tenant.
    #[param(example = "team-a")]
    tenant: String,
    /// Name of the pull secret.
    #[param(example = "team-pull")]
    pull_secret: String,
    /// Id of the link.
    #[param(example = "01939d7e-1f00-7000-8000-000000000001")]
    link: String,
}

/// What a rendering takes; each overrides what is stored.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what manifests::options reads")]
pub struct RenderParams {
    /// `secret` unless given; the table in the guide lists all.
    #[param(example = "secret")]
    format: Option<String>,
    /// `merged` or `split`.
    #[param(example = "split")]
    layout: Option<String>,
    /// Namespace of the objects.
    #[param(example = "default")]
    namespace: Option<String>,
    /// Name of the one Secret.
    #[param(example = "team-pull")]
    secret_name: Option<String>,
    /// Type of the Secrets.
    #[param(rename = "type", example = "kubernetes.io/dockerconfigjson")]
    secret_type: Option<String>,
    /// `yaml` or `json`; otherwise as `Accept` says.
    #[param(example = "json")]
    output: Option<String>,
    /// `true` refuses to render an expired credential with 409.
    #[param(example = false)]
    strict: Option<bool>,
    /// `true` is for looking only: who asks does not become a consumer, nor one that has the current state. It is in
    /// the audit trail all the same. (HEAD renders nothing at all and tells the entity tag.)
    #[param(example = false)]
    preview: Option<bool>,
}

/// What a rendering that seals takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what sealed_manifests::Wanted reads")]
pub struct SealParams {
    /// `sealed-secret`; the other formats need no body and have a GET.
    #[param(example = "sealed-secret")]
    format: String,
    /// `strict`, `namespace-wide` or `cluster-wide`; otherwise as the target's annotations say, else
    /// strict.
    #[param(example = "strict")]
    scope: Option<String>,
    /// `merged` or `split`.
    #[param(example = "split")]
    layout: Option<String>,
    /// Name of the one Secret.
    #[param(example = "team-pull")]
    secret_name: Option<String>,
    /// Type of the Secrets.
    #[param(rename = "type", example = "kubernetes.io/dockerconfigjson")]
    secret_type: Option<String>,
    /// `yaml` or `json`; otherwise as `Accept` says.
    #[param(example = "json")]
    output: Option<String>,
    /// `true` refuses to render an expired credential with 409.
    #[param(example = false)]
    strict: Option<bool>,
    /// `true` is for looking only: who asks does not become a consumer, nor one that has the current state. It is in
    /// the audit trail all the same. (HEAD renders nothing at all and tells the entity tag.)
    #[param(example = false)]
    preview: Option<bool>,
}
