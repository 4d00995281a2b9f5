//! A pull secret as it is written: which credentials, laid out how, for whom.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{RefOr, Schema};

use super::body::{Annotations, Distinct, Face, Set, Wire, body, text_schema};
use super::form::{At, Form};
use super::json::Json;
use super::labels::Labels;
use super::mistake::Fault;
use super::name::{Name, Namespace, ObjectName};
use super::spelled::spelled;

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

spelled! {
    /// What happens when two accounts claim one registry path.
    #[derive(Default)]
    pub enum OnConflict: "OnConflict" or "invalid-value" {
        /// The write or the rendering is refused.
        #[default]
        Reject = "reject",
        /// The first by list order, then by name, wins.
        First = "first",
    }
}

spelled! {
    /// How endpoints are spread over Secrets.
    #[derive(Default)]
    pub enum Layout: "Layout" or "invalid-layout" {
        /// One Secret with all endpoints.
        #[default]
        Merged = "merged",
        /// One Secret an endpoint.
        Split = "split",
    }
}

spelled! {
    /// The `type` of a rendered Secret.
    #[derive(Default)]
    pub enum SecretType: "SecretType" or "invalid-type" {
        /// What kubelet and OpenShift read.
        #[default]
        DockerConfigJson = "kubernetes.io/dockerconfigjson",
        /// The legacy form, also read by kubelet.
        DockerCfg = "kubernetes.io/dockercfg",
        /// No client reads it as a pull secret.
        Opaque = "Opaque",
        /// As some platforms document it; kubelet ignores it.
        PodmanConfigJson = "kubernetes.io/podmanconfigjson",
    }
}

impl SecretType {
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

body! {
    /// Where the Secrets go and who uses them.
    #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
    pub struct Target { whole: "TargetInput"; patch: "TargetPatch"; answer: "Target"; }
    fields {
        /// Namespace of the Secrets; left out of the manifests if there is none.
        namespace: Option<Namespace>, optional;
        /// Name of the one Secret of a merged layout; the pull secret's name unless given.
        secret_name: Option<ObjectName>, optional;
        /// Type of the Secrets.
        #[serde(rename = "type")]
        secret_type = "type": SecretType, default;
        /// Who pulls; `["*"]` means every service account of the namespace.
        service_accounts: ServiceAccounts, default;
        /// Namespaces whose images they may pull from the OpenShift image registry.
        pull_from: Vec<Namespace> as Set<Namespace, 0, MOST_TARGETS>, default;
        /// Labels of each rendered object, beside `app.kubernetes.io/managed-by`.
        labels: Labels, default;
        /// Annotations of each rendered Secret, at most 256 KiB together.
        annotations: Labels as Annotations, default;
        /// `immutable` of each Secret.
        immutable: bool, default;
    }
    rules(form) {
        let managed_by = labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0));
        if managed_by.is_some_and(|value| value != MANAGED_BY.1) {
            let detail = format!("the label {} is always {}", MANAGED_BY.0, MANAGED_BY.1);
            form.report("labels", Fault::new("reserved", detail));
        }
        refuse_reserved(form, "labels", labels.as_ref());
        refuse_reserved(form, "annotations", annotations.as_ref());
    }
}

fn refuse_reserved(form: &mut Form, field: &'static str, keys: Option<&Labels>) {
    let keys = keys.into_iter().flat_map(Labels::keys);
    for key in keys.filter(|key| is_reserved(key)) {
        let detail = if key == LAST_APPLIED {
            format!("{key} is where kubectl apply keeps a copy of the data")
        } else {
            format!("what begins with {SYNC_PREFIX} is how regcred sync knows what it made")
        };
        form.report_member(field, key, Fault::new("reserved", detail));
    }
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

impl Wire for ServiceAccounts {
    type Value = Self;
    const IS_LIST: bool = true;

    fn read(json: Json, at: &mut At) -> Option<Self> {
        if let Json::List(items) = &json
            && items.iter().any(|item| item.as_text() == Some("*"))
        {
            if items.len() > 1 {
                at.report(Fault::new("not-allowed", "`*` stands alone"));
            }
            return Some(Self::All);
        }
        let names = Set::<ObjectName, 0, MOST_TARGETS>::read(json, at)?;
        Some(match names.is_empty() {
            true => Self::None,
            false => Self::Named(names),
        })
    }

    fn schema(_: Face) -> RefOr<Schema> {
        let name = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
        let item = text_schema(1, 253).pattern(Some(format!(r"^(\*|{name})$")));
        ArrayBuilder::new()
            .items(item)
            .max_items(Some(MOST_TARGETS))
            .into()
    }
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

body! {
    /// Credentials by their labels, all of which must be equal; in order of name, after the list.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Selector { whole: "SelectorInput"; patch: "SelectorPatch"; answer: "Selector"; }
    fields {
        /// Labels and their values, at least one.
        labels: Labels, required;
    }
    rules(form) {
        // An empty selector would mean every credential of the tenant, for ever.
        if labels.as_ref().is_some_and(Labels::is_empty) {
            let fault = Fault::new("required", "a selector names at least one label");
            form.report("labels", fault);
        }
    }
}

/// Stored as the labels alone.
impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.labels.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels = Labels::deserialize(deserializer)?;
        Ok(Self { labels })
    }
}

body! {
    /// A pull secret as written. It names at least one of `credentials` and `selector`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct PullSecretSpec { whole: "PullSecretInput"; patch: "PullSecretPatch"; }
    fields {
        /// Credentials in list order.
        // Stored as rows of their own, so that the database guards them.
        #[serde(skip)]
        credentials: Vec<Name> as Distinct<Name, 0, MOST_CREDENTIALS>, default;
        /// Credentials by their labels; in order of name, after the list.
        selector: Option<Selector>, optional;
        /// What happens when two accounts claim one registry path; `reject` unless given.
        on_conflict: OnConflict, default;
        /// `merged`, unless given, is one Secret with all endpoints, `split` one Secret an endpoint.
        layout: Layout, default;
        /// Where the Secrets go and who uses them.
        target: Target, default;
    }
    rules(form) {
        let lists_none = credentials.as_ref().is_some_and(Vec::is_empty);
        let named_any = form.has("credentials") || form.has("selector");
        if !named_any || (lists_none && selector.is_none()) {
            let detail = "name at least one of `credentials` and `selector`";
            form.report("credentials", Fault::new("required", detail));
        }
    }
    example {
        "credentials": ["connect"], "on_conflict": "reject", "layout": "merged",
        "target": {
            "namespace": "default", "secret_name": "team-pull", "type": "kubernetes.io/dockerconfigjson",
            "service_accounts": ["default"], "pull_from": ["project-b"],
            "labels": {}, "annotations": {}, "immutable": false
        }
    }
    patched {"layout": "split"}
}

impl PullSecretSpec {
    /// The JSON that a PUT of it would be.
    ///
    /// # Errors
    /// None: every part of it is JSON.
    pub fn as_written(&self) -> serde_json::Result<serde_json::Value> {
        let selector = self.selector.as_ref();
        let selector = selector.map(|selector| serde_json::json!({"labels": selector.labels}));
        let credentials = (!self.credentials.is_empty()).then_some(&self.credentials);
        Ok(serde_json::json!({
            "credentials": credentials,
            "selector": selector,
            "on_conflict": self.on_conflict,
            "layout": self.layout,
            "target": serde_json::to_value(&self.target)?,
        }))
    }
}
