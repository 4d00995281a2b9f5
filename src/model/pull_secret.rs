//! A pull secret as it is written: which credentials, laid out how, for whom.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::form::{self, Form};
use super::json::Json;
use super::labels::{self, Labels};
use super::mistake::{Fault, Mistake};
use super::name::{Name, Namespace, ObjectName};

/// Most credentials that one pull secret lists.
pub const MOST_CREDENTIALS: usize = 500;
/// Most service accounts or namespaces in a target.
const MOST_TARGETS: usize = 500;

/// The label that every rendered object carries, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "regcred");

/// The prefix of labels and annotations by which `regcred sync` knows what it made. What a target could write there
/// would be taken for its word.
pub const SYNC_PREFIX: &str = "sync.regcred/";
/// Where `kubectl apply` keeps what it applied, the data of a Secret included.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What happens when two accounts claim one registry path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The write or the rendering is refused.
    #[default]
    Reject,
    /// The first by list order, then by name, wins.
    First,
}

/// How endpoints are spread over Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One Secret with all endpoints.
    #[default]
    Merged,
    /// One Secret an endpoint.
    Split,
}

/// The `type` of a rendered Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub enum SecretType {
    /// What kubelet and OpenShift read.
    #[default]
    #[serde(rename = "kubernetes.io/dockerconfigjson")]
    DockerConfigJson,
    /// The legacy form, also read by kubelet.
    #[serde(rename = "kubernetes.io/dockercfg")]
    DockerCfg,
    /// No client reads it as a pull secret.
    Opaque,
    /// As some platforms document it; kubelet ignores it.
    #[serde(rename = "kubernetes.io/podmanconfigjson")]
    PodmanConfigJson,
}

impl SecretType {
    /// The type as Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DockerConfigJson => "kubernetes.io/dockerconfigjson",
            Self::DockerCfg => "kubernetes.io/dockercfg",
            Self::Opaque => "Opaque",
            Self::PodmanConfigJson => "kubernetes.io/podmanconfigjson",
        }
    }

    /// The key of `data` that holds the auth file.
    pub fn data_key(self) -> &'static str {
        match self {
            // OpenShift's documentation shows Opaque Secrets with the key of the type that is read.
            Self::DockerConfigJson | Self::Opaque => ".dockerconfigjson",
            Self::DockerCfg => ".dockercfg",
            Self::PodmanConfigJson => "auth.json",
        }
    }

    /// Whether kubelet uses a Secret of this type
    /// (`credentialprovider/secrets` in Kubernetes takes the two legacy Docker types only).
    pub fn read_by_kubelet(self) -> bool {
        matches!(self, Self::DockerConfigJson | Self::DockerCfg)
    }

    /// Reads Kubernetes' spelling.
    ///
    /// # Errors
    /// `invalid-type` that lists the four.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        [Self::DockerConfigJson, Self::DockerCfg, Self::Opaque, Self::PodmanConfigJson]
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| {
                Fault::new(
                    "invalid-type",
                    "expected kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg, Opaque or kubernetes.io/podmanconfigjson",
                )
            })
    }
}

impl OnConflict {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "reject" => Ok(Self::Reject),
            "first" => Ok(Self::First),
            _ => Err(Fault::new("invalid-value", "expected reject or first")),
        }
    }
}

impl Layout {
    /// Reads the name of a layout.
    ///
    /// # Errors
    /// `invalid-layout` for any other word.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "merged" => Ok(Self::Merged),
            "split" => Ok(Self::Split),
            _ => Err(Fault::new("invalid-layout", "expected merged or split")),
        }
    }
}

/// Who pulls with the Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ServiceAccounts {
    /// Nobody is linked.
    #[default]
    None,
    /// These, in the order given.
    Named(Vec<ObjectName>),
    /// Every service account of the namespace, written `["*"]`.
    All,
}

impl ServiceAccounts {
    /// As the API writes them.
    pub fn to_list(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Named(names) => names.iter().map(ObjectName::as_str).collect(),
            Self::All => vec!["*"],
        }
    }
}

/// Where the Secrets go and who uses them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// Namespace of the Secrets; left out of the manifests if there is none.
    #[schema(value_type = Option<String>, example = "default")]
    pub namespace: Option<Namespace>,
    /// Name of the one Secret of a merged layout.
    #[schema(value_type = Option<String>, example = "team-pull")]
    pub secret_name: Option<ObjectName>,
    /// Type of the Secrets.
    #[serde(rename = "type")]
    pub secret_type: SecretType,
    /// Who pulls; `["*"]` means every service account of the namespace.
    #[schema(value_type = Vec<String>, example = json!(["default"]))]
    pub service_accounts: ServiceAccounts,
    /// Namespaces whose images they may pull from the OpenShift image registry.
    #[schema(value_type = Vec<String>, example = json!(["project-b"]))]
    pub pull_from: Vec<Namespace>,
    /// Labels of each rendered object, beside [`MANAGED_BY`].
    pub labels: Labels,
    /// Annotations of each rendered Secret.
    pub annotations: Labels,
    /// `immutable` of each Secret.
    pub immutable: bool,
}

impl Target {
    /// The same without labels and annotations that are not a target's to write. Writing refuses them; what was stored
    /// before it did must not be rendered either.
    #[must_use]
    pub fn without_reserved(mut self) -> Self {
        self.labels.retain(|key, _| !is_reserved(key));
        self.annotations.retain(|key, _| !is_reserved(key));
        self
    }
}

/// Whether a label or annotation says something of an object that only its maker can say.
fn is_reserved(key: &str) -> bool {
    key.starts_with(SYNC_PREFIX) || key == LAST_APPLIED
}

impl Serialize for ServiceAccounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_list().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ServiceAccounts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        match names.first().map(String::as_str) {
            None => Ok(Self::None),
            Some("*") => Ok(Self::All),
            Some(_) => names
                .iter()
                .map(|name| ObjectName::parse(name))
                .collect::<Result<_, _>>()
                .map(Self::Named)
                .map_err(|fault| serde::de::Error::custom(fault.detail)),
        }
    }
}

/// A pull secret as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullSecretSpec {
    /// Credentials in list order. Stored as rows of their own, so that the database guards them.
    #[serde(skip)]
    pub credentials: Vec<Name>,
    /// Credentials by their labels, all of which must be equal; in order of name, after the list.
    pub selector: Option<Labels>,
    /// What happens when two accounts claim one path.
    pub on_conflict: OnConflict,
    /// How endpoints are spread over Secrets.
    pub layout: Layout,
    /// Where the Secrets go.
    pub target: Target,
}

impl PullSecretSpec {
    /// Reads a pull secret as written (contract: `PUT …/pull-secrets/{name}`).
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(document: Json) -> Result<Self, Vec<Mistake>> {
        let mut form = Form::new(document, "");
        let spec = Self::read_fields(&mut form);
        form.finish(Some(spec))
    }

    fn read_fields(form: &mut Form) -> Self {
        let named_any = form.has("credentials") || form.has("selector");
        let credentials = read_credentials(form);
        let selector = read_selector(form);
        if !named_any || (credentials.as_ref().is_some_and(Vec::is_empty) && selector.is_none()) {
            let fault = Fault::new(
                "required",
                "name at least one of `credentials` and `selector`",
            );
            form.report("credentials", fault);
        }
        let credentials = credentials.unwrap_or_default();
        let on_conflict = form.optional("on_conflict", form::parsed(OnConflict::parse));
        let layout = form.optional("layout", form::parsed(Layout::parse));
        let target = form.object("target", |inner| Some(read_target(inner)));
        Self {
            credentials,
            selector,
            on_conflict: on_conflict.unwrap_or_default(),
            layout: layout.unwrap_or_default(),
            target: target.unwrap_or_default(),
        }
    }
}

fn read_credentials(form: &mut Form) -> Option<Vec<Name>> {
    let names = form.list("credentials", |item| form::parsed(Name::parse)(item))?;
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            form.report_item(
                "credentials",
                index,
                Fault::new("duplicate", "this credential is listed twice"),
            );
        }
    }
    too_many(form, "credentials", names.len(), MOST_CREDENTIALS);
    Some(names)
}

fn too_many(form: &mut Form, field: &str, count: usize, most: usize) {
    if count > most {
        form.report(field, Fault::new("too-many", format!("at most {most}")));
    }
}

fn read_selector(form: &mut Form) -> Option<Labels> {
    form.object("selector", |inner| {
        if !inner.has("labels") {
            inner.report("labels", Fault::new("required", "a selector names labels"));
        }
        let labels = labels::read_labels(inner, "labels")?;
        // An empty selector would mean every credential of the tenant, for ever.
        if labels.is_empty() {
            inner.report(
                "labels",
                Fault::new("required", "a selector names at least one label"),
            );
        }
        Some(labels)
    })
}

/// Reads the fields of a target.
pub fn read_target(form: &mut Form) -> Target {
    let namespace = form.optional("namespace", form::parsed(Namespace::parse));
    let secret_name = form.optional("secret_name", form::parsed(ObjectName::parse));
    let secret_type = form.optional("type", form::parsed(SecretType::parse));
    let service_accounts = read_service_accounts(form, "service_accounts");
    let pull_from = read_pull_from(form);
    Target {
        namespace,
        secret_name,
        secret_type: secret_type.unwrap_or_default(),
        service_accounts,
        pull_from,
        labels: read_target_labels(form),
        annotations: read_target_annotations(form),
        immutable: form
            .optional("immutable", form::boolean)
            .unwrap_or_default(),
    }
}

fn read_target_labels(form: &mut Form) -> Labels {
    let labels = labels::read_labels(form, "labels").unwrap_or_default();
    if labels
        .get(MANAGED_BY.0)
        .is_some_and(|value| value != MANAGED_BY.1)
    {
        let detail = format!("the label {} is always {}", MANAGED_BY.0, MANAGED_BY.1);
        form.report("labels", Fault::new("reserved", detail));
    }
    refuse_reserved(form, "labels", &labels);
    labels
}

fn read_target_annotations(form: &mut Form) -> Labels {
    let annotations = labels::read_annotations(form, "annotations").unwrap_or_default();
    refuse_reserved(form, "annotations", &annotations);
    annotations
}

fn refuse_reserved(form: &mut Form, field: &str, keys: &Labels) {
    for key in keys.keys().filter(|key| is_reserved(key)) {
        let detail = if key == LAST_APPLIED {
            format!("{key} is where kubectl apply keeps a copy of the data")
        } else {
            format!("what begins with {SYNC_PREFIX} is how regcred sync knows what it made")
        };
        form.report_member(field, key, Fault::new("reserved", detail));
    }
}

fn read_service_accounts(form: &mut Form, field: &str) -> ServiceAccounts {
    let Some(names) = form.list(field, form::text) else {
        return ServiceAccounts::None;
    };
    if names.iter().any(|name| name == "*") {
        if names.len() > 1 {
            form.report(field, Fault::new("not-allowed", "`*` stands alone"));
        }
        return ServiceAccounts::All;
    }
    too_many(form, field, names.len(), MOST_TARGETS);
    let mut accounts: Vec<ObjectName> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match ObjectName::parse(name) {
            Ok(name) if !accounts.contains(&name) => accounts.push(name),
            Ok(_) => {}
            Err(fault) => form.report_item(field, index, fault),
        }
    }
    if accounts.is_empty() {
        ServiceAccounts::None
    } else {
        ServiceAccounts::Named(accounts)
    }
}

fn read_pull_from(form: &mut Form) -> Vec<Namespace> {
    let names = form
        .list("pull_from", |item| form::parsed(Namespace::parse)(item))
        .unwrap_or_default();
    too_many(form, "pull_from", names.len(), MOST_TARGETS);
    let mut unique: Vec<Namespace> = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}
