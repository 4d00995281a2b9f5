//! Other documents: values of charts, references, and what holds an auth file somewhere in it.

use super::Right::{Finds, Refuses, Says, Stays, Takes, Tested};
use super::{OF_CLUSTER, Row, of_cluster, row};

pub fn rows() -> Vec<Row> {
    let entry = r#"{"auths":{"a.io":{“auth”:"x"}}}"#;
    let cluster = of_cluster();
    let mut rows = vec![
        row(
            13,
            "jupyterhub/zero-to-jupyterhub-k8s#851",
            "imagePullSecret: {enabled: true, registry: quay.io, username: u, password: p}\n",
            vec![
                Finds(&["error unknown-document"]),
                Stays,
                Refuses("unknown-format"),
            ],
        ),
        row(
            13,
            "haproxytech/helm-charts#53",
            "smtp: {username: mailer, password: s}\n",
            vec![
                Finds(&["error unknown-document"]),
                Stays,
                Refuses("unknown-format"),
            ],
        ),
        row(
            14,
            "helm/helm#3022",
            "imageCredentials:\n  registry: quay.io\n  username: u\n  password: p\n",
            vec![Finds(&[]), Takes(&[("quay.io", "account")])],
        ),
        row(
            15,
            "aquasecurity/aqua-helm#497",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\nimagePullSecrets: [{}]\n",
            vec![
                Finds(&[
                    "warning service-account-replaces-list",
                    "info empty-reference",
                ]),
                Tested("field_served::an_account_with_an_empty_entry_is_linked"),
            ],
        ),
        row(
            32,
            "netbox-community/netbox-chart#152",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {imagePullSecrets: [regcred]}}}\n",
            vec![
                Finds(&["error invalid-reference"]),
                Says("expected an object with a name"),
            ],
        ),
        row(
            33,
            "bitnami-labs/sealed-secrets#524",
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: s}\nspec:\n  encryptedData: {.dockerconfigjson: AgB}\n  template: {type: kubernetes.io/dockercfg}\n",
            vec![Finds(&["error type-key-mismatch", "info not-looked-at"])],
        ),
        row(
            47,
            "ibm-cloud-architecture/terraform-openshift4-aws#9",
            entry,
            vec![
                Finds(&["error unreadable"]),
                Says("typographic"),
                Refuses("json-syntax"),
            ],
        ),
        row(
            64,
            "bitnami-labs/sealed-secrets#372",
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: s}\nspec:\n  encryptedData: {.dockerconfigjson: AgB}\n  template: {type: kubernetes.io/dockerconfigjson}\n",
            vec![Finds(&["info not-looked-at"]), Refuses("no-auth-file")],
        ),
        row(
            64,
            "external-secrets/external-secrets#503",
            "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: e}\nspec: {target: {template: {data: {.dockerconfigjson: '{{ .x }}'}}}}\n",
            vec![Finds(&["info not-looked-at"]), Refuses("no-auth-file")],
        ),
        row(
            78,
            "k3s registries.yaml",
            "mirrors: {docker.io: {endpoint: ['https://m.example.com']}}\nconfigs: {m.example.com: {auth: {username: u, password: p}}}\n",
            vec![
                Finds(&["error unknown-document"]),
                Stays,
                Refuses("unknown-format"),
            ],
        ),
    ];
    for input in [
        cluster.clone(),
        format!("apiVersion: v1\nbaseDomain: e.example\npullSecret: '{cluster}'\n"),
        format!("apiVersion: v1\nbaseDomain: e.example\npullSecret: |\n  {cluster}\n"),
        format!("pullSecret: {cluster}\n"),
    ] {
        let right = vec![Finds(&[]), Takes(OF_CLUSTER)];
        rows.push(row(46, "crc-org/crc#2626", input, right));
    }
    rows
}
