//! The recipe pages: their commands are run and their files are read.

use std::process::Command;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::support::fake::{Ca, Fake};
use crate::support::fed::feed;
use crate::support::issuer::{Issuer, RSA, reaching};
use crate::support::page::{Desk, Page};
use crate::support::peers::spare_peer;
use crate::support::sealing::Controller;
use crate::support::{Client, Regcred, kubectl, pair, program};

const SERVER: &str = "https://regcred.example.com";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";

/// What every page starts from.
struct Stage {
    regcred: Regcred,
    owner: Client,
    issuer: Issuer,
}

impl Stage {
    async fn set() -> Self {
        let ca = Ca::new();
        let issuer = Issuer::start(&ca, &[&RSA]).await;
        let regcred = Regcred::start_with(reaching(&ca, &[])).await;
        let owner = regcred.tenant("team-a").await;
        let pull_secret = json!({
            "credentials": ["connect"],
            "target": {"namespace": "shop", "service_accounts": ["shop"]},
        });
        for (path, body) in [
            ("credentials/connect", pair()),
            ("pull-secrets/team-pull", pull_secret),
        ] {
            let path = format!("/v1/tenants/team-a/{path}");
            owner.put(&path, &body).await.expect(201);
        }
        Self {
            regcred,
            owner,
            issuer,
        }
    }

    /// A page with the names of this stage.
    fn page(&self, name: &str) -> Page {
        Page::read(name, &[(SERVER, &self.regcred.base)])
    }

    /// A page whose issuer is this stage's.
    fn page_about(&self, name: &str, issuer: &str) -> Page {
        let issuer = format!("\"{issuer}\"");
        let real = format!("\"{}\"", self.issuer.url);
        Page::read(name, &[(SERVER, &self.regcred.base), (&issuer, &real)])
    }

    /// A desk with the tokens that pages speak of.
    async fn desk(&self) -> Desk {
        let owner = self.token("/v1/tenants/team-a/tokens", "owner").await;
        let operator = self.token("/v1/tokens", "operator").await;
        Desk::new()
            .with("TOKEN", &owner)
            .with("OPERATOR_TOKEN", &operator)
    }

    async fn token(&self, path: &str, role: &str) -> String {
        let name = format!("{role}-{}", uuid::Uuid::now_v7().simple());
        let body = json!({"name": name, "role": role});
        let reply = self.regcred.admin.post(path, &body).await.expect(201);
        reply.text("/token").to_owned()
    }

    /// A token of the issuer with more claims.
    fn job(&self, claims: &Value) -> String {
        let mut all = self.issuer.claims("a job");
        for (name, value) in claims.as_object().expect("claims") {
            all[name] = value.clone();
        }
        self.issuer.sign(&RSA, &all)
    }

    /// A rendering of the pull secret.
    async fn rendered(&self, query: &str) -> Vec<u8> {
        let path = format!("{MANIFEST}?{query}");
        self.owner.get(&path).await.expect(200).bytes
    }
}

/// A document as any reader of YAML has it.
fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

#[tokio::test]
async fn the_page_of_argo_cd_works() {
    let stage = Stage::set().await;
    let (page, desk) = (stage.page("argo-cd.md"), stage.desk().await);
    desk.follow(&page).await;
    let applied = kubectl::objects(desk.read("applied.yaml").as_bytes());
    assert_eq!(applied[0]["kind"], "Application");
    let path = applied[0]["spec"]["source"]["path"]
        .as_str()
        .expect("a path");
    let kinds = |file: &str| -> Vec<Value> {
        let objects = kubectl::objects(desk.read(&format!("{path}/{file}")).as_bytes());
        objects
            .iter()
            .map(|object| object["kind"].clone())
            .collect()
    };
    assert_eq!(kinds("pull-secret.yaml"), ["SecretStore", "ExternalSecret"]);
    assert_eq!(kinds("service-account.yaml"), ["ServiceAccount"]);
}

#[tokio::test]
async fn the_page_of_flux_works() {
    let stage = Stage::set().await;
    let (page, desk) = (stage.page("flux.md"), stage.desk().await);
    desk.follow(&page).await;
    let applied = kubectl::objects(desk.read("applied.yaml").as_bytes());
    assert_eq!(applied[0]["kind"], "Kustomization");
    let fetched = kubectl::objects(desk.read("apps/flux-pull.yaml").as_bytes());
    assert_eq!(fetched[1]["metadata"]["namespace"], "flux-system");
    let secret = &fetched[1]["spec"]["target"]["name"];
    for user in kubectl::objects(page.file("images.yaml").as_bytes()) {
        assert_eq!(&user["spec"]["secretRef"]["name"], secret);
        assert_eq!(user["metadata"]["namespace"], "flux-system");
    }
}

#[tokio::test]
async fn the_page_of_helm_works() {
    let stage = Stage::set().await;
    let (page, desk) = (stage.page("helm.md"), stage.desk().await);
    let first = page.written_in("sh").next().expect("a command");
    desk.run(&first.text).await;
    let given = yaml(&desk.read("values-given.yaml"));
    assert_eq!(given["imagePullSecrets"][0]["name"], "team-pull");
    assert_eq!(given["imageCredentials"][0]["registry"], "sso.redhat.com");
    desk.follow(&page).await;
    let given = yaml(&desk.read("values-given.yaml"));
    assert_eq!(given, json!({"imagePullSecrets": [{"name": "team-pull"}]}));
    let applied = kubectl::objects(desk.read("applied.yaml").as_bytes());
    assert_eq!(applied[0]["metadata"]["name"], "team-pull");
}

#[tokio::test]
async fn the_page_of_external_secrets_works() {
    let stage = Stage::set().await;
    let (page, desk) = (stage.page("external-secrets.md"), stage.desk().await);
    desk.follow(&page).await;
    let token = yaml(&desk.read("created.yaml"));
    let text = |pointer: &str| token.pointer(pointer).and_then(Value::as_str);
    assert_eq!(text("/metadata/name"), Some("regcred-token"));
    let token = {
        use base64::Engine;
        let token = base64::prelude::BASE64_STANDARD.decode(text("/data/token").expect("a token"));
        String::from_utf8(token.expect("base64")).expect("UTF-8")
    };
    stage.regcred.caller(&token).get(MANIFEST).await.expect(200);
    assert!(
        desk.read("labelled")
            .contains("external-secrets.io/type=webhook")
    );
    let fetched = kubectl::objects(desk.read("external-secret.yaml").as_bytes());
    assert_eq!(
        fetched,
        kubectl::objects(page.file("as-rendered.yaml").as_bytes())
    );
}

#[tokio::test]
async fn the_page_of_sealed_secrets_works() {
    let stage = Stage::set().await;
    let (page, desk) = (stage.page("sealed-secrets.md"), stage.desk().await);
    let controller = Controller::new();
    desk.write("cluster.pem", controller.pem());
    desk.follow(&page).await;
    let sealed = kubectl::objects(desk.read("sealed-secret.yaml").as_bytes());
    let rendered = kubectl::objects(&stage.rendered("format=secret").await);
    assert_eq!(controller.unseal(&sealed[0]), rendered[0]);
}

#[tokio::test]
async fn the_page_of_terraform_works() {
    let stage = Stage::set().await;
    let (page, desk) = (stage.page("terraform.md"), stage.desk().await);
    desk.follow(&page).await;
    if let Some(terraform) = spare_peer("terraform") {
        for file in page
            .written_in("hcl")
            .filter_map(|block| block.title.as_deref())
        {
            let mut command = Command::new(&terraform);
            command
                .args(["fmt", "-check", "-diff"])
                .arg(desk.path(file));
            let ended = feed(command, "").await;
            assert_eq!(ended.code, 0, "{}{}", ended.output, ended.errors);
        }
    }
    for (file, is_what_it_needs) in [
        (
            "main.tf",
            (|body| body["items"][1]["kind"] == "ExternalSecret") as fn(&Value) -> bool,
        ),
        ("secret.tf", |body| body[".dockerconfigjson"].is_string()),
    ] {
        let url = page.file(file).split("url = \"").nth(1).expect("a URL");
        let url = url.split('"').next().expect("its end");
        let path = url.strip_prefix(&stage.regcred.base).expect("the server's");
        let reply = stage.owner.get(path).await.expect(200);
        assert!(is_what_it_needs(&reply.json()), "{file}");
    }
}

#[tokio::test]
async fn the_page_of_github_actions_works() {
    let stage = Stage::set().await;
    let page = stage.page_about(
        "github-actions.md",
        "https://token.actions.githubusercontent.com",
    );
    stage.desk().await.follow(&page).await;
    let workflow = yaml(page.file(".github/workflows/build.yaml"));
    assert_eq!(workflow["permissions"]["id-token"], "write");
    let steps = workflow["jobs"]["build"]["steps"]
        .as_array()
        .expect("steps");
    let login = steps
        .iter()
        .find(|step| step["name"] == "Log in to the registries");
    let login = login
        .and_then(|step| step["run"].as_str())
        .expect("a script");
    let claims = json!({"repository": "example/shop", "ref": "refs/heads/main"});
    let answer = json!({"value": stage.job(&claims)}).to_string();
    let tokens = Router::new().route(
        "/token",
        get(move |query: axum::extract::RawQuery| async move {
            assert_eq!(query.0.as_deref(), Some("api-version=2&audience=regcred"));
            answer
        }),
    );
    let tokens = Fake::http(tokens).await;
    let url = format!("http://{}/token?api-version=2", tokens.address);
    let runner = Desk::new()
        .with("ACTIONS_ID_TOKEN_REQUEST_URL", &url)
        .with("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job");
    runner.run(login).await;
    let found = runner.read(".docker/config.json").into_bytes();
    assert_eq!(found, stage.rendered("format=docker-config").await);
    let elsewhere = json!({"repository": "example/shop", "ref": "refs/heads/other"});
    let other = stage.regcred.caller(&stage.job(&elsewhere));
    other.get(MANIFEST).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn the_page_of_gitlab_ci_works() {
    let stage = Stage::set().await;
    let page = stage.page_about("gitlab-ci.md", "https://gitlab.com");
    stage.desk().await.follow(&page).await;
    let pipeline = yaml(page.file(".gitlab-ci.yml"));
    let job = &pipeline["build"];
    assert_eq!(
        job["id_tokens"],
        json!({"REGCRED_ID_TOKEN": {"aud": "regcred"}})
    );
    let claims = json!({"project_path": "example/shop", "ref_protected": "true"});
    let runner = Desk::new().with("REGCRED_ID_TOKEN", &stage.job(&claims));
    let script: Vec<&str> = job["script"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .filter(|line| !line.starts_with("docker "))
        .collect();
    runner.run(&script.join("\n")).await;
    let found = runner.read(".docker/config.json").into_bytes();
    assert_eq!(found, stage.rendered("format=docker-config").await);
}

#[tokio::test]
async fn the_page_of_kubelet_works() {
    let stage = Stage::set().await;
    let page = stage.page_about("kubelet.md", "https://issuer.example.com");
    let account = stage.issuer.token("system:serviceaccount:shop:default");
    let desk = stage.desk().await.with("SERVICE_ACCOUNT_TOKEN", &account);
    desk.follow(&page).await;
    let applied = kubectl::objects(desk.read("applied.yaml").as_bytes());
    assert_eq!(applied.len(), 2);
    let puller = stage.token("/v1/tenants/team-a/tokens", "puller").await;
    let file = desk.write("token", &puller);
    for (title, with_account) in [
        ("credential-providers.yaml", true),
        ("with-a-token.yaml", false),
    ] {
        let config = yaml(page.file(title));
        assert_eq!(config["apiVersion"], "kubelet.config.k8s.io/v1");
        assert_eq!(config["kind"], "CredentialProviderConfig");
        let provider = &config["providers"][0];
        let mut request = json!({"kind": "CredentialProviderRequest", "apiVersion": provider["apiVersion"],
            "image": "privateregistry.example.com/team/app"});
        if with_account {
            let audience = &provider["tokenAttributes"]["serviceAccountTokenAudience"];
            assert_eq!(audience, &applied[0]["rules"][0]["resources"][0]);
            request["serviceAccountToken"] = account.clone().into();
        }
        let mut command = Command::new(program());
        for argument in provider["args"].as_array().expect("a list") {
            let argument = argument.as_str().expect("a text");
            command.arg(argument.replace("/etc/regcred/token", file.to_str().expect("UTF-8")));
        }
        let ended = feed(command, &request.to_string()).await;
        assert_eq!(ended.code, 0, "{title}: {}", ended.errors);
        let answer: Value = serde_json::from_str(&ended.output).expect("JSON");
        assert!(
            answer["auth"]["privateregistry.example.com"].is_object(),
            "{title}"
        );
    }
}

#[tokio::test]
async fn the_page_of_docker_and_podman_works() {
    let stage = Stage::set().await;
    let (page, desk) = (stage.page("docker-and-podman.md"), stage.desk().await);
    std::fs::create_dir(desk.path(".config")).expect("writable");
    std::fs::create_dir(desk.path(".config/regcred")).expect("writable");
    // The page's `$HOME/bin` is the desk's, which is on the PATH.
    desk.follow(&page).await;
    // Once more: the name is taken, and the token that is there stays.
    let token = desk.read(".config/regcred/token");
    let block = page.written_in("sh");
    let mut block = block.filter(|block| block.text.contains("/tokens"));
    let again = &block.next().expect("a block").text;
    desk.run(&format!("if {again}then exit 9; fi")).await;
    assert_eq!(desk.read(".config/regcred/token"), token);
    // The page's own file of this name was there before; a new one is its owner's alone.
    std::fs::remove_file(desk.path("auth.json")).expect("there");
    let mut fetches = page.written_in("sh");
    let fetch = fetches.find(|block| block.text.contains("--output auth.json"));
    desk.run(&fetch.expect("a block").text).await;
    for secret in [".config/regcred/token", "auth.json"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(desk.path(secret))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
    let listed = desk.run("docker-credential-regcred list").await.output;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        listed["privateregistry.example.com"],
        "developer@example.com"
    );
    let fetched = desk.read("auth.json").into_bytes();
    assert_eq!(fetched, stage.rendered("format=podman-auth").await);
    for block in page.written_in("json") {
        let _: Value = serde_json::from_str(&block.text).expect("JSON");
    }
}

#[tokio::test]
async fn every_page_is_on_the_list_and_tested() {
    let directory = format!("{}/docs/recipes", env!("CARGO_MANIFEST_DIR"));
    let index = std::fs::read_to_string(format!("{directory}/README.md")).expect("there");
    let tested = include_str!("recipes.rs");
    for entry in std::fs::read_dir(directory).expect("there") {
        let name = entry.expect("readable").file_name();
        let name = name.to_str().expect("UTF-8");
        if name != "README.md" {
            assert!(
                index.contains(&format!("({name})")),
                "{name} is on the list"
            );
            assert!(tested.contains(&format!("\"{name}\"")), "{name} is tested");
        }
    }
}
