//! Manifests of Secrets.

use serde_json::json;

use super::Right::{Finds, Holds, Refuses, Says, Takes, Tested};
use super::{Row, b64, good, list, named, row, wrapped};
use crate::field_reports::{DOCKERCFG, DOCKERCONFIGJSON, GOOD, pull_secret, secret};

pub fn rows() -> Vec<Row> {
    let data = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": DOCKERCONFIGJSON, "data": {".dockerconfigjson": value}}).to_string()
    };
    let flat = json!({"quay.io": {"auth": "dTpw"}});
    vec![
        row(
            8,
            "external-secrets/kubernetes-external-secrets#535",
            pull_secret(&json!({"value": GOOD}).to_string()),
            vec![
                Finds(&["error wrong-shape"]),
                Holds(".dockerconfigjson", good()),
            ],
        ),
        row(
            9,
            "IBM/project-ai-services#1084",
            pull_secret("{}"),
            vec![Finds(&["warning no-entries"]), Refuses("no-auth-file")],
        ),
        row(
            9,
            "buildsec/frsca#307",
            pull_secret("null"),
            vec![Finds(&["warning no-entries"]), Refuses("no-auth-file")],
        ),
        row(
            10,
            "kubernetes-sigs/kustomize#2925",
            data(""),
            vec![Finds(&["error empty-value"]), Says("API server")],
        ),
        row(
            17,
            "hashicorp/terraform-provider-kubernetes#145",
            wrapped(">-"),
            vec![Finds(&["error not-base64"]), Says("white space")],
        ),
        row(
            18,
            "external-secrets/external-secrets#4569",
            "kind: Secret\napiVersion: v1\nmetadata: {name: s}\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson:\n    auths: {quay.io: {auth: dTpw}}\n",
            vec![Finds(&["error not-text"]), Refuses("not-text")],
        ),
        row(
            19,
            "bitnami-labs/sealed-secrets#522",
            secret(DOCKERCFG, ".dockercfg", GOOD),
            vec![
                Finds(&["error wrong-shape"]),
                Holds(".dockercfg", flat.clone()),
                Takes(&[("quay.io", "account")]),
            ],
        ),
        row(
            20,
            "gabibbo97/charts#24",
            pull_secret(&flat.to_string()),
            vec![
                Finds(&["error wrong-shape"]),
                Holds(".dockerconfigjson", good()),
                Takes(&[("quay.io", "account")]),
            ],
        ),
        row(
            25,
            "Azure/azure-key-vault-to-kubernetes#90",
            secret(DOCKERCFG, ".dockercfg", &b64(&flat.to_string())),
            vec![
                Finds(&["error encoded-twice"]),
                Holds(".dockercfg", flat),
                Refuses("wrapped"),
            ],
        ),
        row(
            60,
            "charmed-kubernetes, connaisseur#546",
            wrapped("|"),
            vec![Finds(&[]), Takes(&[("quay.io", "account")])],
        ),
        row(
            61,
            "openshift/release#6494",
            list(),
            vec![
                Finds(&["info not-looked-at"]),
                Takes(&[
                    ("172.30.1.1:5000", "account"),
                    ("quay.io", "account"),
                    ("registry.svc.example:5000", "account"),
                ]),
            ],
        ),
        row(
            63,
            "fluxcd/helm releases",
            secret("helm.sh/release.v1", "release", "SDRzSUFBQUE="),
            vec![Finds(&["info not-looked-at"]), Refuses("no-auth-file")],
        ),
        row(
            65,
            "microshift-documentation#49",
            secret(DOCKERCONFIGJSON, "pull-secret.json", GOOD),
            vec![
                Finds(&["error type-key-mismatch"]),
                Holds(".dockerconfigjson", good()),
            ],
        ),
        row(
            66,
            "isindir/sops-secrets-operator#9",
            secret("Opaque", ".dockerconfigjson", GOOD),
            vec![
                Finds(&["warning ignored-type"]),
                Holds(".dockerconfigjson", good()),
            ],
        ),
        row(
            66,
            "Azure/k8s-create-secret#43",
            secret("kubernetes.io/dockerconfig.json", ".dockerconfigjson", GOOD),
            vec![
                Finds(&["warning ignored-type"]),
                Holds(".dockerconfigjson", good()),
            ],
        ),
        row(
            76,
            "RFC 1123",
            named(json!({"name": "team_pull-secret"})),
            vec![
                Finds(&["error invalid-name"]),
                Tested("field_served::names_are_refused_with_the_rule"),
            ],
        ),
        row(
            76,
            "RFC 1123",
            named(json!({"name": "s", "namespace": "Project_A"})),
            vec![Finds(&["error invalid-namespace"])],
        ),
        row(
            76,
            "RFC 1123",
            named(json!({"name": "a".repeat(254)})),
            vec![Finds(&["error invalid-name"])],
        ),
        row(
            76,
            "RFC 1123",
            named(json!({"name": "a".repeat(253)})),
            vec![Finds(&[])],
        ),
    ]
}
