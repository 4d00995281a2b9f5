//! The `oc` and `kubectl` scripts, run under real shells with a stub client that records what it gets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::files::Directory;
use crate::support::{Client, Regcred, kubectl, pair, password};

const BASE: &str = "/v1/tenants/team-a";

/// One call of the client: its arguments and its input.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    arguments: Vec<String>,
    input: Vec<u8>,
}

/// Records each call in a directory of its own and answers `get` with a prepared file.
const STUB: &str = r#"#!/bin/sh
set -eu
call="$STUB_DIR/$(printf '%04d' "$(ls "$STUB_DIR" | grep -c '^[0-9]')")"
mkdir "$call"
for argument in "$@"; do printf '%s\0' "$argument"; done > "$call/arguments"
case " $* " in
*' --filename=- '*) cat > "$call/input" ;;
*) : > "$call/input" ;;
esac
case "$1" in
get)
    if [ -e "$STUB_DIR/refuse-get-$3" ]; then cat "$STUB_DIR/refuse-get-$3" >&2; exit 1; fi
    cat "$STUB_DIR/answer-$2" 2>/dev/null || true
    exit 0 ;;
esac
# A refusal says why, and is over after so many times as it has lines.
refusal="$STUB_DIR/refuse-$1"
if [ -s "$refusal" ]; then
    head -n 1 "$refusal" >&2
    sed -i 1d "$refusal"
    exit 1
fi
echo "done: $1"
"#;

struct Stub(Directory);

impl Stub {
    fn new() -> Self {
        let directory = Directory::new();
        for tool in ["oc", "kubectl"] {
            let path = directory.path().join(tool);
            fs::write(&path, STUB).expect("writable");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn answer(&self, what: &str, text: &str) {
        fs::write(self.path().join(format!("answer-{what}")), text).expect("writable");
    }

    fn refuse(&self, what: &str, lines: &str) {
        fs::write(self.path().join(format!("refuse-{what}")), lines).expect("writable");
    }

    /// Runs a script that does all that it should, and gives the calls that it made.
    fn run(&self, shell: &str, script: &[u8]) -> Vec<Call> {
        let (code, errors, calls) = self.run_with(shell, script, &[]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{shell}");
        calls
    }

    /// Runs a script and gives its exit code, its errors and the calls that it made.
    fn run_with(
        &self,
        shell: &str,
        script: &[u8],
        arguments: &[&str],
    ) -> (Option<i32>, String, Vec<Call>) {
        let file = self.path().join("script");
        fs::write(&file, script).expect("writable");
        let calls = self.path().join("calls");
        let _ = fs::remove_dir_all(&calls);
        fs::create_dir(&calls).expect("writable");
        for entry in fs::read_dir(self.path())
            .expect("readable")
            .filter_map(Result::ok)
        {
            let name = entry.file_name().into_string().expect("UTF-8");
            if name.starts_with("answer-") || name.starts_with("refuse-") {
                fs::copy(entry.path(), calls.join(name)).expect("writable");
            }
        }
        let path = format!("{}:/usr/bin:/bin", self.path().display());
        let output = Command::new(shell)
            .arg(&file)
            .args(arguments)
            .env("PATH", path)
            .env("STUB_DIR", &calls)
            .stdin(Stdio::null())
            .output()
            .expect("the shell is there");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), errors, read_calls(&calls))
    }
}

/// The calls that change something.
fn writes(calls: Vec<Call>) -> Vec<Call> {
    calls
        .into_iter()
        .filter(|call| call.arguments[0] != "get")
        .collect()
}

fn read_calls(directory: &Path) -> Vec<Call> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("readable")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    names.sort();
    names
        .iter()
        .map(|path| {
            let arguments = fs::read_to_string(path.join("arguments")).expect("UTF-8");
            let mut arguments: Vec<String> = arguments.split('\0').map(str::to_owned).collect();
            arguments.pop();
            Call {
                arguments,
                input: fs::read(path.join("input")).expect("readable"),
            }
        })
        .collect()
}

fn words(call: &Call) -> Vec<&str> {
    call.arguments.iter().map(String::as_str).collect()
}

const SHELLS: [&str; 2] = ["sh", "bash"];

async fn prepare(regcred: &Regcred, secret: &str, target: Value) -> Client {
    let owner = regcred.tenant("team-a").await;
    let mut body = pair();
    body["secret"] = json!(secret);
    owner
        .put(&format!("{BASE}/credentials/connect"), &body)
        .await
        .expect(201);
    let body = json!({"credentials": ["connect"], "layout": "split", "target": target});
    owner
        .put(&format!("{BASE}/pull-secrets/p"), &body)
        .await
        .expect(201);
    owner
}

async fn script(owner: &Client, format: &str) -> Vec<u8> {
    let reply = owner
        .get(&format!("{BASE}/pull-secrets/p/manifest?format={format}"))
        .await
        .expect(200);
    assert_eq!(reply.header("content-type"), "text/x-shellscript");
    reply.bytes
}

const APPLY: [&str; 4] = [
    "apply",
    "--server-side",
    "--field-manager=regcred",
    "--filename=-",
];

#[tokio::test]
async fn the_oc_script_makes_links_and_grants() {
    let regcred = Regcred::start().await;
    let target = json!({"namespace": "project-a", "service_accounts": ["default", "builder"], "pull_from": ["project-b"]});
    let owner = prepare(&regcred, "s3cret", target).await;
    let script = script(&owner, "oc").await;
    for shell in SHELLS {
        let stub = Stub::new();
        let calls = writes(stub.run(shell, &script));
        assert_eq!(
            writes(stub.run(shell, &script)),
            calls,
            "a second run does the same"
        );
        let place = "--namespace=project-a";
        for (call, registry) in calls
            .iter()
            .zip(["sso.redhat.com", "privateregistry.example.com"])
        {
            assert_eq!(words(call)[..4], APPLY);
            assert_eq!(words(call)[4..], [place]);
            let auths = kubectl::decoded(&kubectl::objects(&call.input)[0], ".dockerconfigjson");
            assert_eq!(auths["auths"][registry]["password"], "s3cret");
        }
        let rest: Vec<Vec<&str>> = calls[2..].iter().map(words).collect();
        let link = |account, secret| vec!["secrets", "link", account, secret, "--for=pull", place];
        let grant = |account| {
            vec![
                "policy",
                "add-role-to-user",
                "system:image-puller",
                account,
                "--namespace=project-b",
            ]
        };
        assert_eq!(
            rest,
            [
                link("default", "redhat-connect-sso"),
                link("default", "private-registry"),
                link("builder", "redhat-connect-sso"),
                link("builder", "private-registry"),
                grant("system:serviceaccount:project-a:default"),
                grant("system:serviceaccount:project-a:builder"),
            ]
        );
    }
}

#[tokio::test]
async fn every_service_account_is_linked_one_by_one_and_the_group_is_granted() {
    let regcred = Regcred::start().await;
    let target =
        json!({"namespace": "project-a", "service_accounts": ["*"], "pull_from": ["project-b"]});
    let owner = prepare(&regcred, "s3cret", target).await;
    let script = script(&owner, "oc").await;
    let stub = Stub::new();
    stub.answer("serviceaccounts", "builder default");
    let calls = stub.run("sh", &script);
    let links: Vec<(&str, &str)> = calls
        .iter()
        .map(words)
        .filter(|words| words[..2] == ["secrets", "link"])
        .map(|words| (words[2], words[3]))
        .collect();
    assert_eq!(
        links,
        [
            ("builder", "redhat-connect-sso"),
            ("builder", "private-registry"),
            ("default", "redhat-connect-sso"),
            ("default", "private-registry"),
        ]
    );
    let last = calls.last().expect("calls");
    assert_eq!(
        words(last),
        [
            "policy",
            "add-role-to-group",
            "system:image-puller",
            "system:serviceaccounts:project-a",
            "--namespace=project-b",
        ]
    );
}

#[tokio::test]
async fn the_kubectl_script_adds_to_the_list_and_drops_nothing() {
    let regcred = Regcred::start().await;
    let target = json!({"namespace": "project-a", "service_accounts": ["default"], "pull_from": ["project-b"]});
    let owner = prepare(&regcred, "s3cret", target).await;
    let script = script(&owner, "kubectl").await;
    for (shell, before, patches) in [
        ("sh", "", ["add /imagePullSecrets", "add /imagePullSecrets"]),
        (
            "bash",
            "41\n",
            ["add /imagePullSecrets", "add /imagePullSecrets"],
        ),
        (
            "sh",
            "41\nothers\n",
            ["add /imagePullSecrets/-", "add /imagePullSecrets/-"],
        ),
    ] {
        let stub = Stub::new();
        stub.answer("serviceaccount", before);
        let calls = stub.run(shell, &script);
        let found: Vec<String> = calls
            .iter()
            .filter_map(|call| patch_of(call, before))
            .collect();
        assert_eq!(found, patches, "{before:?}");
        let binding = &kubectl::objects(&calls.last().expect("calls").input)[0];
        assert_eq!(
            binding["metadata"]["name"],
            "image-puller:project-a:default"
        );
        assert_eq!(binding["metadata"]["namespace"], "project-b");
    }
    let stub = Stub::new();
    stub.answer(
        "serviceaccount",
        "41\nredhat-connect-sso\nprivate-registry\n",
    );
    let calls = stub.run("sh", &script);
    assert!(
        calls.iter().all(|call| call.arguments[0] != "patch"),
        "what is linked is left alone"
    );
}

/// The operation of a patch call, whose test names the version that was read.
fn patch_of(call: &Call, state: &str) -> Option<String> {
    if call.arguments[0] != "patch" {
        return None;
    }
    assert_eq!(
        words(call)[1..4],
        ["serviceaccount", "default", "--type=json"]
    );
    let patch = call.arguments[4].strip_prefix("--patch=").expect("a patch");
    let patch: Value = serde_json::from_str(patch).expect("JSON");
    let version = state.lines().next().unwrap_or_default();
    assert_eq!(
        patch[0],
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})
    );
    Some(format!(
        "{} {}",
        patch[1]["op"].as_str()?,
        patch[1]["path"].as_str()?
    ))
}

#[tokio::test]
async fn what_cannot_be_changed_is_made_anew_if_it_is_its_own() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred, "s3cret", json!({"immutable": true})).await;
    for format in ["oc", "kubectl"] {
        let script = script(&owner, format).await;
        for (managers, expected, code) in [
            (
                "kube regcred x",
                vec!["apply", "delete", "apply", "apply"],
                0,
            ),
            ("regcred-sync-t.x", vec!["apply", "apply"], 1),
        ] {
            let stub = Stub::new();
            stub.answer("secret", managers);
            stub.refuse("apply", "The Secret \"x\" is invalid: data: Forbidden: field is immutable when `immutable` is set\n");
            let (ended, errors, calls) = stub.run_with("sh", &script, &[]);
            let verbs = calls.iter().map(|call| call.arguments[0].as_str());
            let verbs: Vec<&str> = verbs
                .filter(|verb| !matches!(*verb, "get" | "annotate"))
                .collect();
            assert_eq!((verbs, ended), (expected, Some(code)), "{errors}");
            assert_eq!(errors.is_empty(), code == 0, "{errors}");
        }
    }
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_left_to_them_unless_told_otherwise_by_an_argument() {
    let regcred = Regcred::start().await;
    let target = json!({"namespace": "a", "service_accounts": ["default"]});
    let owner = prepare(&regcred, "s3cret", target).await;
    let refusal =
        "error: Apply failed with 1 conflict: conflict with \"helm\": .data..dockerconfigjson\n";
    for format in ["oc", "kubectl"] {
        let script = script(&owner, format).await;
        let stub = Stub::new();
        stub.answer("serviceaccount", "41\n");
        stub.refuse("apply", refusal);
        let (code, errors, calls) = stub.run_with("sh", &script, &[]);
        assert_eq!(code, Some(1));
        assert!(
            errors.contains("redhat-connect-sso was made by somebody else")
                && errors.contains("helm"),
            "{errors}"
        );
        // The other one is made and linked, and this one is not.
        let linked = writes(calls)
            .iter()
            .filter(|call| matches!(call.arguments[0].as_str(), "patch" | "secrets"))
            .count();
        assert_eq!(linked, 1);
        let calls = writes(
            Stub::new()
                .run_with("sh", &script, &["--force-conflicts"])
                .2,
        );
        assert_eq!(calls[0].arguments[2], "--force-conflicts");
        assert_eq!(Stub::new().run_with("sh", &script, &["--forse"]).0, Some(2));
    }
}

#[tokio::test]
async fn a_script_goes_on_and_reports() {
    let regcred = Regcred::start().await;
    let target = json!({"namespace": "a", "service_accounts": ["nobody", "default"], "pull_from": ["b", "c"]});
    let owner = prepare(&regcred, "s3cret", target).await;
    for shell in SHELLS {
        let stub = Stub::new();
        stub.refuse(
            "get-nobody",
            "Error from server (NotFound): serviceaccounts \"nobody\" not found\n",
        );
        stub.answer("serviceaccount", "41\n");
        let (code, errors, calls) = stub.run_with(shell, &script(&owner, "kubectl").await, &[]);
        assert_eq!(code, Some(1));
        assert!(
            errors.contains("nobody") && errors.contains("(NotFound)"),
            "{errors}"
        );
        let of_default = calls
            .iter()
            .filter(|call| call.arguments[0] == "patch" && call.arguments[2] == "default");
        assert_eq!(of_default.count(), 2);
        let grants = calls
            .iter()
            .filter(|call| call.arguments[0] == "apply")
            .count()
            - 2;
        assert_eq!(grants, 4, "a grant for each account and namespace");

        let stub = Stub::new();
        stub.refuse(
            "policy",
            "Error from server (Forbidden): rolebindings is forbidden: User \"x\" cannot create\n",
        );
        let (code, errors, calls) = stub.run_with(shell, &script(&owner, "oc").await, &[]);
        assert_eq!(code, Some(1));
        assert!(errors.contains("cannot create"), "{errors}");
        assert_eq!(
            calls
                .iter()
                .filter(|call| call.arguments[0] == "policy")
                .count(),
            4
        );
    }
}

#[tokio::test]
async fn a_lost_race_is_tried_again_and_a_refusal_is_not() {
    let regcred = Regcred::start().await;
    let target = json!({"namespace": "a", "service_accounts": ["default"]});
    let owner = prepare(&regcred, "s3cret", target).await;
    let race = "Operation cannot be fulfilled on serviceaccounts \"default\": the object has been modified\n";
    let invalid =
        "The request is invalid: the server rejected our request due to an error in our request\n";
    let forbidden = "Error from server (Forbidden): serviceaccounts \"default\" is forbidden: User \"x\" cannot patch resource \"serviceaccounts\"\n";
    for (format, verb, race) in [("oc", "secrets", race), ("kubectl", "patch", invalid)] {
        let script = script(&owner, format).await;
        let tries = |refusal: &str| {
            let stub = Stub::new();
            stub.answer("serviceaccount", "41\n");
            stub.refuse(verb, refusal);
            let (code, errors, calls) = stub.run_with("sh", &script, &[]);
            let tries = calls
                .iter()
                .filter(|call| call.arguments[0] == verb)
                .count();
            (code, errors, tries)
        };
        assert_eq!(tries(race), (Some(0), String::new(), 3), "{format}");
        let (code, errors, tried) = tries(&forbidden.repeat(5));
        assert_eq!((code, tried), (Some(1), 2), "one for each Secret: {errors}");
        assert!(
            errors.contains("cannot patch resource") && !errors.contains("keeps changing"),
            "{errors}"
        );
    }
}

#[tokio::test]
async fn what_kubectl_apply_has_left_is_removed() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred, "s3cret", json!({"namespace": "a"})).await;
    let stub = Stub::new();
    stub.answer("secret", "{\"data\": \"former\"}");
    let calls = writes(stub.run("sh", &script(&owner, "kubectl").await));
    let annotate: Vec<&Call> = calls
        .iter()
        .filter(|call| call.arguments[0] == "annotate")
        .collect();
    assert_eq!(annotate.len(), 2);
    assert!(
        annotate[0]
            .arguments
            .contains(&"kubectl.kubernetes.io/last-applied-configuration-".to_owned())
    );
}

#[tokio::test]
async fn odd_values_arrive_intact_and_never_as_arguments() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let long = "x".repeat(64 * 1024);
    let secrets = [
        "it's \"quoted\"",
        "two\nlines\r\n",
        "nul\0inside",
        "$(touch /tmp/regcred-was-here)`id`",
        "---",
        "-n",
        "\\n\\0 %s %d",
        "REGCRED",
        "\nREGCRED\n",
        "🎉 é \u{2028}",
        "!history",
        " spaces ",
        "\t",
        long.as_str(),
    ];
    for (at, secret) in secrets.iter().enumerate() {
        let name = format!("c{at}");
        let mut body = password("quay.io", "it's $USER \"x\"", secret);
        body["email"] = json!("$(id)@'example'.com");
        owner
            .put(&format!("{BASE}/credentials/{name}"), &body)
            .await
            .expect(201);
        let annotation = json!({"credentials": [name], "target": {"annotations": {"note": format!("REGCRED\n{}", secrets[at % 13])}}});
        for format in ["oc", "kubectl"] {
            let path = format!("{BASE}/manifest?format={format}&secret_name=s");
            let script = owner.post(&path, &annotation).await.expect(200).bytes;
            for shell in SHELLS {
                let calls = writes(Stub::new().run(shell, &script));
                assert_eq!(calls.len(), 1, "{secret:?}");
                assert_eq!(words(&calls[0]), APPLY);
                let object: Value = serde_json::from_slice(&calls[0].input).expect("JSON");
                let entry =
                    kubectl::decoded(&object, ".dockerconfigjson")["auths"]["quay.io"].clone();
                assert_eq!(entry["password"], *secret);
                assert_eq!(entry["username"], "it's $USER \"x\"");
                assert_eq!(entry["email"], "$(id)@'example'.com");
                assert_eq!(
                    object["metadata"]["annotations"],
                    annotation["target"]["annotations"]
                );
            }
        }
    }
    assert!(!Path::new("/tmp/regcred-was-here").exists());
}
