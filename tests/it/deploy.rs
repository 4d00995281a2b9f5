//! The manifests of `deploy/`, as Kubernetes reads them.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodSpec, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::support::kubectl;
use crate::support::process::{program, run};

const REGCRED: &str = include_str!("../../deploy/regcred.yaml");
const SYNC: &str = include_str!("../../deploy/sync.yaml");

/// The objects of a manifest, as kubectl reads them.
fn objects(text: &str) -> Vec<Value> {
    kubectl::objects(text.as_bytes())
}

/// The one object of a kind, typed, with every field of it known.
fn one<T: DeserializeOwned + serde::Serialize>(objects: &[Value], kind: &str) -> T {
    let mut of_kind = objects.iter().filter(|object| object["kind"] == kind);
    let object = of_kind.next().unwrap_or_else(|| panic!("a {kind}"));
    assert!(of_kind.next().is_none(), "one {kind}");
    let typed: T = serde_json::from_value(object.clone()).expect("its types fit");
    let again = serde_json::to_value(&typed).expect("JSON");
    assert_eq!(
        without_nulls(&again),
        without_nulls(object),
        "a field that Kubernetes does not know"
    );
    typed
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            members
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn arguments(pod: &PodSpec) -> Vec<&str> {
    let arguments = pod.containers[0].args.iter().flatten();
    arguments.map(String::as_str).collect()
}

#[test]
fn regcred_is_whole() {
    let objects = objects(REGCRED);
    let deployment: Deployment = one(&objects, "Deployment");
    let service: Service = one(&objects, "Service");
    let budget: PodDisruptionBudget = one(&objects, "PodDisruptionBudget");
    let policy: NetworkPolicy = one(&objects, "NetworkPolicy");
    let _: (ServiceAccount, ClusterRole, ClusterRoleBinding) = (
        one(&objects, "ServiceAccount"),
        one(&objects, "ClusterRole"),
        one(&objects, "ClusterRoleBinding"),
    );
    let job: Job = one(&objects, "Job");

    let spec = deployment.spec.expect("a spec");
    let labels = spec
        .template
        .metadata
        .and_then(|metadata| metadata.labels)
        .expect("labels");
    assert_eq!(spec.selector.match_labels.as_ref(), Some(&labels));
    assert_eq!(
        service.spec.and_then(|spec| spec.selector),
        Some(labels.clone())
    );
    let of_budget = budget
        .spec
        .and_then(|spec| spec.selector)
        .and_then(|selector| selector.match_labels);
    assert_eq!(of_budget, Some(labels));
    assert!(policy.spec.is_some());
    let pod = spec.template.spec.expect("a pod");
    let container = &pod.containers[0];
    assert!(container.readiness_probe.is_some() && container.liveness_probe.is_some());
    for pod in [
        &pod,
        &job.spec.and_then(|spec| spec.template.spec).expect("a pod"),
    ] {
        assert_eq!(pod.enable_service_links, Some(false));
        let mounts = pod
            .containers
            .iter()
            .flat_map(|container| container.volume_mounts.iter().flatten());
        for mount in mounts {
            assert!(
                pod.volumes
                    .iter()
                    .flatten()
                    .any(|volume| volume.name == mount.name),
                "{}",
                mount.name
            );
        }
        let (code, _, errors) = run(program(&arguments(pod)).arg("--help"));
        assert_eq!((code, errors.as_str()), (0, ""));
    }
}

/// Every variable is a setting of the server: another one would keep it from starting.
#[test]
fn its_variables_are_settings() {
    let objects = objects(REGCRED);
    let deployment: Deployment = one(&objects, "Deployment");
    let pod = deployment
        .spec
        .and_then(|spec| spec.template.spec)
        .expect("a pod");
    let mut command = program(&["serve"]);
    for variable in pod.containers[0].env.iter().flatten() {
        command.env(
            &variable.name,
            variable
                .value
                .as_deref()
                .unwrap_or("postgres://127.0.0.1:1/x"),
        );
    }
    // It does not come to that, for there is no certificate and no key.
    let (code, _, errors) = run(&mut command);
    assert_eq!(code, 1);
    assert!(!errors.contains("unknown"), "{errors}");
}

#[test]
fn the_sync_of_the_page_is_that_of_the_directory() {
    let page = include_str!("../../docs/sync.md");
    let block = page
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    assert_eq!(objects(block.expect("a block")), objects(SYNC));
    let objects = objects(SYNC);
    let _: (ServiceAccount, ClusterRoleBinding) = (
        one(&objects, "ServiceAccount"),
        one(&objects, "ClusterRoleBinding"),
    );
    let role: ClusterRole = one(&objects, "ClusterRole");
    for rule in role.rules.expect("rules") {
        assert!(
            !rule.verbs.iter().any(|verb| verb == "*")
                && !rule.resources.iter().flatten().any(|one| one == "*")
        );
    }
    let deployment: Deployment = one(&objects, "Deployment");
    let pod = deployment
        .spec
        .and_then(|spec| spec.template.spec)
        .expect("a pod");
    let (code, _, errors) = run(program(&arguments(&pod)).arg("--help"));
    assert_eq!((code, errors.as_str()), (0, ""));
}
