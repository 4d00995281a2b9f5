//! User names and secrets as people reported them in public trackers: literal in every format, whatever a shell, YAML or a
//! template would make of them.

use crate::fidelity::{Sample, check, check_against_kubectl};

fn account(registry: &str, username: &str, secret: &str) -> Sample {
    Sample {
        registry: registry.to_owned(),
        kind: "password",
        username: username.to_owned(),
        secret: secret.to_owned(),
        email: None,
        auth: None,
    }
}

/// Where a case comes from, and its account.
fn cases() -> Vec<(&'static str, Sample)> {
    let of =
        |source, registry, username, secret: &str| (source, account(registry, username, secret));
    let key = "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN X-----\\nAA\\n-----END X-----\\n\"\n}";
    let mut cases = vec![
        of(
            "goharbor/harbor#15410",
            "harbor.example.com",
            "robot$proj+name",
            "a$b`c\"d'e\\f",
        ),
        of(
            "goharbor/harbor#13116",
            "harbor.example.com/proj",
            "robot$name",
            "$(id) ${HOME} `id` \\$x",
        ),
        of(
            "DaspawnW/vault-crd#107",
            "registry.example.com",
            "u",
            "s%*nY*,>E8vT6.+hC_Aw^Yb'i,&<]}m>X[3oDh9\\`",
        ),
        of(
            "external-secrets/external-secrets#503",
            "europe-docker.pkg.dev/proj/repo",
            "_json_key",
            key,
        ),
        of(
            "k3s-io/k3s#6099",
            "gcr.io",
            "_json_key",
            &format!("{key}\n"),
        ),
        of(
            "k3s-io/k3s#6099",
            "gcr.io",
            "_json_key_base64",
            "eyJ0eXBlIjoieCJ9",
        ),
        of(
            "fluxcd/image-reflector-controller#71",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "AWS",
            &"eyJwYXlsb2FkIjoi".repeat(160),
        ),
        of(
            "gitlab deploy tokens",
            "registry.gitlab.com/group",
            "gitlab+deploy-token-123",
            "x",
        ),
        of("dsx-ai-factory", "nvcr.io", "$oauthtoken", "bnZhcGk6eA"),
        of("github tokens", "ghcr.io", "x-access-token", "x"),
        of(
            "redhat registry service accounts",
            "registry.redhat.io",
            "1234|uhc-1abc",
            "x",
        ),
        of(
            "hashicorp/terraform-provider-kubernetes#1866",
            "registry.example.com",
            "u",
            ":p:q:",
        ),
        of("docker/for-mac#2008", "docker.io", "u", "{"),
        of(
            "bazel-contrib/rules_oci#600",
            "myacr.azurecr.io",
            "00000000-0000-0000-0000-000000000000",
            "x",
        ),
        of("quay robot names", "quay.io/team", "team+robot_1", "-----"),
    ];
    // What YAML, or a template, would read as something else.
    for username in [
        "on",
        "null",
        "~",
        "0123",
        "1e3",
        "- a",
        "yes",
        "0x1F",
        "!!str a",
        "&a",
        "*a",
        "? b",
        "# x",
        "{{ .Values.x }}",
        "2001-01-01",
        " u ",
        "=",
        "<<",
    ] {
        cases.push(of(
            "helm/helm-www#1583",
            "registry.example.com",
            username,
            "p",
        ));
    }
    for secret in [
        "1e3",
        "~",
        "# x",
        "{{ .Values.x }}",
        "%{x}",
        "a\u{2028}b",
        "a\u{85}b",
        "--- \n...",
        "\u{feff}x",
        "0o17",
        ".nan",
        "a: b",
        "'",
        "\"",
        "|",
        ">-\n x",
        "🎉 – ü",
    ] {
        cases.push(of(
            "helm/helm-www#1583",
            "registry.example.com",
            "u",
            secret,
        ));
    }
    cases
}

#[test]
fn accounts_that_people_had_trouble_with_come_back_from_every_format() {
    for (source, sample) in cases() {
        let result = std::panic::catch_unwind(|| check(&sample));
        assert!(result.is_ok(), "{source}: {sample:?}");
    }
    // No argument of a process holds a NUL, and no key of a form more than it holds.
    check(&account("registry.example.com", "u", "a\0b"));
    check(&account(
        "registry.example.com",
        "AWS",
        &"x".repeat(64 * 1024),
    ));
}

#[test]
fn kubectl_makes_the_same_of_them() {
    for (_, sample) in cases() {
        check_against_kubectl(&sample);
    }
}

#[test]
fn tokens_that_people_had_trouble_with_come_back_from_every_format() {
    for (source, kind, registry) in [
        ("openshift/oc#1199", "identity_token", "icr.io"),
        (
            "fabric8io/docker-maven-plugin#1249",
            "identity_token",
            "myacr.azurecr.io",
        ),
        (
            "containers/image#1340",
            "registry_token",
            "registry.example.com",
        ),
    ] {
        let sample = Sample {
            kind,
            ..account(registry, "", "eyJhbGciOiJub25lIn0.e30.")
        };
        let result = std::panic::catch_unwind(|| check(&sample));
        assert!(result.is_ok(), "{source}");
    }
}
