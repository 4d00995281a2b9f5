//! Keys, and what a host may be called.

use serde_json::json;

use super::Right::{Becomes, Fails, Finds, Says, Stays, Tested, Uses};
use super::{Row, auths, good, row, to_hub};
use crate::field_reports::{GOOD, file};

pub fn rows() -> Vec<Row> {
    const ELB: &str = "registryELB-9.eu-west-1.elb.amazonaws.com:5000";
    const ARTIFACTORY: &str = "https://artifactory.example.com/artifactory/docker-registry/";
    let both = auths(json!({
        "Test.Registry.example": {"auth": "dTpw"}, "test.registry.example": {"auth": "dTpw"},
    }));
    let digest =
        "docker.io/mylib/x@sha256:0000000000000000000000000000000000000000000000000000000000000000";
    vec![
        row(
            2,
            "moby/moby#20056",
            file(ELB),
            vec![
                Finds(&["warning key-uppercase"]),
                Stays,
                Uses(
                    "kubelet",
                    "registryELB-9.eu-west-1.elb.amazonaws.com:5000/a/b",
                    Some(ELB),
                ),
                Uses(
                    "containers-image",
                    "registryELB-9.eu-west-1.elb.amazonaws.com:5000/a/b",
                    Some(ELB),
                ),
                Uses(
                    "docker",
                    "registryELB-9.eu-west-1.elb.amazonaws.com:5000/a/b",
                    Some(ELB),
                ),
                Uses(
                    "docker",
                    "registryelb-9.eu-west-1.elb.amazonaws.com:5000/a/b",
                    None,
                ),
            ],
        ),
        row(
            3,
            "docker/cli#2753",
            both.to_string(),
            vec![
                Finds(&["warning key-uppercase"]),
                Stays,
                Uses(
                    "docker",
                    "Test.Registry.example/a/b",
                    Some("Test.Registry.example"),
                ),
                Uses(
                    "docker",
                    "test.registry.example/a/b",
                    Some("test.registry.example"),
                ),
                Uses(
                    "kubelet",
                    "Test.Registry.example/a/b",
                    Some("Test.Registry.example"),
                ),
            ],
        ),
        row(
            4,
            "moby/moby#22809",
            file(ARTIFACTORY),
            vec![
                Finds(&["warning key-path-under-scheme"]),
                Stays,
                Uses(
                    "docker",
                    "artifactory.example.com/docker-registry/app",
                    Some(ARTIFACTORY),
                ),
                Uses(
                    "containers-image",
                    "artifactory.example.com/docker-registry/app",
                    Some(ARTIFACTORY),
                ),
                Uses(
                    "kubelet",
                    "artifactory.example.com/docker-registry/app",
                    None,
                ),
            ],
        ),
        row(
            5,
            "okd-project/okd#186",
            auths(json!({"fake": {"auth": "aWQ6cGFzcwo="}})).to_string(),
            vec![
                Finds(&["error key-never-matched", "warning odd-account"]),
                Uses("kubelet", "fake/team/app:1", None),
                Uses("docker", "fake/team/app:1", None),
            ],
        ),
        row(
            6,
            "docker/hub-feedback#935",
            file("quay.io "),
            vec![Finds(&["error key-never-matched"]), Becomes(good())],
        ),
        row(
            7,
            "kubernetes-sigs/kind#4185",
            file("harbor.example.com/*"),
            vec![
                Finds(&["warning key-never-matched"]),
                Says("`*` works in the host only"),
                Stays,
                Uses("kubelet", "harbor.example.com/a/b", None),
                Uses("containers-image", "harbor.example.com/a/b", None),
                Uses(
                    "docker",
                    "harbor.example.com/a/b",
                    Some("harbor.example.com/*"),
                ),
            ],
        ),
        row(
            27,
            "bmuschko/gradle-docker-plugin#887",
            file("https://registry.example.com:443"),
            vec![
                Finds(&["info key-default-port"]),
                Stays,
                Uses("kubelet", "registry.example.com/a/b", None),
                Uses("containers-image", "registry.example.com/a/b", None),
                Uses("docker", "registry.example.com/a/b", None),
                Uses(
                    "docker",
                    "registry.example.com:443/a/b",
                    Some("https://registry.example.com:443"),
                ),
            ],
        ),
        row(
            28,
            "moby/moby#34975",
            file("docker_test.artifactory.example.edu.au"),
            vec![
                Finds(&["warning key-never-matched"]),
                Uses(
                    "kubelet",
                    "docker_test.artifactory.example.edu.au/a",
                    Some("docker_test.artifactory.example.edu.au"),
                ),
                Uses(
                    "containers-image",
                    "docker_test.artifactory.example.edu.au/a",
                    Some("docker_test.artifactory.example.edu.au"),
                ),
                Uses("docker", "docker_test.artifactory.example.edu.au/a", None),
                Tested("field_reports::one_entry_that_makes_no_credential_can_be_left_out"),
            ],
        ),
        row(
            34,
            "fluxcd/image-reflector-controller#146",
            GOOD,
            vec![
                Fails("kubelet", "https://quay.io/repository/a/b", "invalid-image"),
                Fails("docker", "docker-pullable://quay.io/a/b", "invalid-image"),
                Tested("field_reports::prefixes_of_images_are_told"),
            ],
        ),
        row(
            49,
            "openshift/origin#18449",
            file("docker.io"),
            vec![
                Finds(&["warning key-docker-hub"]),
                Becomes(to_hub()),
                Uses("kubelet", "alpine", Some("docker.io")),
                Uses("containers-image", "alpine", Some("docker.io")),
                Uses("docker", "alpine", None),
            ],
        ),
        row(
            50,
            "GoogleContainerTools/kaniko#1574",
            file("https://index.docker.io/v2"),
            vec![Finds(&["warning key-docker-hub"]), Becomes(to_hub())],
        ),
        row(
            50,
            "fluxcd/image-reflector-controller#124",
            file("https://index.docker.io/v1"),
            vec![Finds(&["warning key-docker-hub"]), Becomes(to_hub())],
        ),
        row(
            50,
            "knative/build#195",
            file("index.docker.io"),
            vec![Finds(&["warning key-docker-hub"]), Becomes(to_hub())],
        ),
        row(
            50,
            "argoproj-labs/argocd-image-updater#97",
            file("registry.hub.docker.com"),
            vec![
                Finds(&["error key-docker-hub"]),
                Tested("field_reports::what_can_be_corrected_is"),
            ],
        ),
        row(
            51,
            "docker/cli#3678",
            file("docker.io"),
            vec![
                Uses("docker", digest, None),
                Uses("kubelet", digest, Some("docker.io")),
            ],
        ),
        row(
            52,
            "kubernetes/kubernetes#3797",
            file("https://quay.io/v1/"),
            vec![
                Finds(&[]),
                Stays,
                Uses("kubelet", "quay.io/a/b", Some("https://quay.io/v1/")),
                Uses(
                    "containers-image",
                    "quay.io/a/b",
                    Some("https://quay.io/v1/"),
                ),
                Uses("docker", "quay.io/a/b", Some("https://quay.io/v1/")),
            ],
        ),
        row(
            53,
            "fluxcd/image-reflector-controller#127",
            file("repo.example:8083/repository/internal"),
            vec![
                Finds(&[]),
                Uses(
                    "kubelet",
                    "repo.example:8083/repository/internal/app:1",
                    Some("repo.example:8083/repository/internal"),
                ),
                Uses(
                    "containers-image",
                    "repo.example:8083/repository/internal/app:1",
                    Some("repo.example:8083/repository/internal"),
                ),
                Uses(
                    "containers-image",
                    "repo.example:8083/repository/other/app:1",
                    None,
                ),
                Uses(
                    "docker",
                    "repo.example:8083/repository/other/app:1",
                    Some("repo.example:8083/repository/internal"),
                ),
            ],
        ),
        row(
            75,
            "kubernetes/kubernetes#122821",
            file("mirror.example.com"),
            vec![
                Uses(
                    "kubelet",
                    "mirror.example.com/library/alpine",
                    Some("mirror.example.com"),
                ),
                Uses("kubelet", "docker.io/library/alpine", None),
            ],
        ),
    ]
}
