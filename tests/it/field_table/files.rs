//! Auth files, and what stands in an entry.

use serde_json::json;

use super::Right::{Becomes, Fails, Finds, Refuses, Says, Stays, Takes, Tested, Uses};
use super::{Row, auths, b64, good, row};
use crate::field_reports::{GOOD, with_auth};

pub fn rows() -> Vec<Row> {
    let session = auths(json!({
        "https://index.docker.io/v1/": {"auth": "dTpw"},
        "https://index.docker.io/v1/access-token": {"auth": "dTpw"},
        "https://index.docker.io/v1/refresh-token": {"auth": "dTpw"},
    }));
    let settings = json!({
        "auths": {"quay.io": {"auth": "dTpw"}}, "detachKeys": "ctrl-e,e", "psFormat": "x",
        "proxies": {"default": {"httpProxy": "http://u:hunter2@proxy.example:3128"}}, "plugins": {"a": {"b": "c"}},
    });
    vec![
        row(1, "docker/cli internal/oauth/manager", session.to_string(), vec![
            Finds(&["warning docker-session"]),
            Stays,
            Takes(&[
                ("docker.io", "account"),
                ("https://index.docker.io/v1/access-token", "nothing"),
                ("https://index.docker.io/v1/refresh-token", "nothing"),
            ]),
            Tested("docker_helper::a_session_of_docker_is_neither_stored_nor_given"),
        ]),
        row(11, "kubernetes/kubectl#571", r#"{"auths":{"r.example.com":{"Username":"u","Password":"p"}}}"#, vec![
            Finds(&["warning no-auth"]),
            Becomes(auths(json!({"r.example.com": {"Username": "u", "Password": "p", "auth": "dTpw"}}))),
            Uses("kubelet", "r.example.com/a", Some("r.example.com")),
            Uses("docker", "r.example.com/a", Some("r.example.com")),
            Uses("containers-image", "r.example.com/a", None),
            Takes(&[("r.example.com", "account")]),
        ]),
        row(12, "keirlawson/docker_credential#13", r#"{"auths":{"myacr.azurecr.io":{"identitytoken":"x"}}}"#, vec![
            Finds(&["warning token-ignored", "warning no-auth"]),
            Becomes(auths(json!({"myacr.azurecr.io": {"identitytoken": "x", "auth": b64("00000000-0000-0000-0000-000000000000:")}}))),
            Uses("docker", "myacr.azurecr.io/a", Some("myacr.azurecr.io")),
            Uses("containers-image", "myacr.azurecr.io/a", None),
            Takes(&[("myacr.azurecr.io", "account")]),
        ]),
        row(21, "charmed-kubernetes/bundle#384", with_auth(b"userA:passwordA\n"), vec![
            Finds(&["warning odd-account"]),
            Stays,
            Takes(&[("registry.example.com", "account")]),
        ]),
        row(22, "kubernetes/kubernetes#82147", r#"{"auths":{"r.example.com":{"auth":"dGVhbTpwYXNzLXdvcmQxMg"}}}"#, vec![
            Finds(&["error broken-entry"]),
            Says("`=`"),
            Becomes(auths(json!({"r.example.com": {"auth": "dGVhbTpwYXNzLXdvcmQxMg=="}}))),
            Uses("kubelet", "r.example.com/a", Some("r.example.com")),
            Fails("containers-image", "r.example.com/a", "entry:base64"),
            Fails("docker", "r.example.com/a", "auth-file:base64"),
        ]),
        row(24, "krakend/krakendesigner#13", format!("\u{feff}{GOOD}"), vec![
            Finds(&["error unreadable"]),
            Says("byte order mark"),
            Becomes(good()),
            Fails("docker", "quay.io/a", "auth-file:json-syntax"),
            Refuses("json-syntax"),
        ]),
        row(26, "GoogleContainerTools/jib#1958", r#"{"auths":{"ghcr.io":{"auth":"dTpw"}},"credHelpers":{"ghcr.io":"osxkeychain"}}"#, vec![
            Finds(&["warning cred-helper-shadows", "info helper-ignored"]),
            Uses("docker", "ghcr.io/a", None),
            Uses("containers-image", "ghcr.io/a", None),
            Uses("kubelet", "ghcr.io/a", Some("ghcr.io")),
        ]),
        row(29, "openshift/release#11746", with_auth(b":tok"), vec![
            Finds(&["error broken-entry"]),
            Uses("kubelet", "registry.example.com/a", Some("registry.example.com")),
            Uses("containers-image", "registry.example.com/a", Some("registry.example.com")),
            Fails("docker", "registry.example.com/a", "auth-file:auth-format"),
            Takes(&[("registry.example.com", "rejected")]),
        ]),
        row(29, "openshift/release#11746", with_auth(b"u:"), vec![
            Finds(&[]),
            Uses("docker", "registry.example.com/a", Some("registry.example.com")),
            Takes(&[("registry.example.com", "rejected")]),
        ]),
        row(43, "openshift/oc#1199", auths(json!({"icr.io": {"auth": b64("iamapikey:"), "identitytoken": "x"}})).to_string(), vec![
            Finds(&["warning token-ignored"]),
            Uses("docker", "icr.io/a", Some("icr.io")),
            Takes(&[("icr.io", "account")]),
        ]),
        row(44, "bazel-contrib/rules_oci#600", auths(json!({"myacr.azurecr.io": {"auth": b64("00000000-0000-0000-0000-000000000000:"), "identitytoken": "x"}})).to_string(), vec![
            Finds(&["warning token-ignored"]),
            Uses("containers-image", "myacr.azurecr.io/a", Some("myacr.azurecr.io")),
            Takes(&[("myacr.azurecr.io", "account")]),
            Tested("verification::identity_tokens_are_refreshed_and_registry_tokens_sent_as_they_are"),
        ]),
        row(54, "GoogleContainerTools/jib#2535", r#"{"auths":{"https://index.docker.io/v1/":{}},"credsStore":"desktop","HttpHeaders":{"User-Agent":"x"}}"#, vec![
            Finds(&["info helper-ignored", "info empty-entry"]),
            Uses("docker", "alpine", None),
            Takes(&[("docker.io", "nothing")]),
        ]),
        row(55, "google/containerregistry#144", r#"{"auths":{"quay.io":{"auth":"dTpw"}},"credSstore":"x"}"#, vec![
            Finds(&["warning creds-store-shadows", "info helper-ignored"]),
            Uses("docker", "quay.io/a", None),
            Uses("oras", "quay.io/a", Some("quay.io")),
        ]),
        row(56, "fsouza/go-dockerclient#492", settings.to_string(), vec![
            Finds(&[]),
            Takes(&[("quay.io", "account")]),
        ]),
        row(57, "podman-desktop#1679", format!("{GOOD}\n}}"), vec![
            Finds(&["error unreadable"]),
            Uses("docker", "quay.io/a", Some("quay.io")),
            Fails("kubelet", "quay.io/a", "auth-file:json-syntax"),
            Fails("containers-image", "quay.io/a", "auth-file:json-syntax"),
        ]),
        row(58, "podman-container-tools/container-libs#244", "", vec![
            Finds(&["error unreadable"]),
            Uses("docker", "quay.io/a", None),
            Fails("kubelet", "quay.io/a", "auth-file:json-syntax"),
            Fails("containers-image", "quay.io/a", "auth-file:json-syntax"),
        ]),
        row(59, "banzaicloud/drone-kaniko#6", "{\"auths\":{\"quay.io\":{\"auth\":\"dT\npw\"}}}", vec![
            Finds(&["error unreadable"]),
            Fails("docker", "quay.io/a", "auth-file:json-syntax"),
            Fails("ggcr", "quay.io/a/b", "auth-file:json-syntax"),
        ]),
        row(59, "banzaicloud/drone-kaniko#6", r#"{"auths":{"quay.io":{"auth":"dT\npw"}}}"#, vec![
            Finds(&[]),
            Uses("docker", "quay.io/a", Some("quay.io")),
            Uses("kubelet", "quay.io/a", Some("quay.io")),
            Uses("containers-image", "quay.io/a", Some("quay.io")),
            Takes(&[("quay.io", "account")]),
        ]),
        row(77, "moby/moby#13285", auths(json!({"quay.io": {"auth": "user:pass"}})).to_string(), vec![
            Finds(&["error broken-entry"]),
            Stays,
            Fails("docker", "quay.io/a", "auth-file:base64"),
            Fails("kubelet", "quay.io/a", "auth-file:base64"),
            Fails("containers-image", "quay.io/a", "entry:base64"),
            Takes(&[("quay.io", "rejected")]),
        ]),
        row(77, "moby/moby#13285", auths(json!({"quay.io": {"auth": "dTpw_-8="}})).to_string(), vec![
            Finds(&["error broken-entry"]),
            Stays,
            Takes(&[("quay.io", "rejected")]),
        ]),
    ]
}
