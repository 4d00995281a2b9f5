//! `external-secret`, fetched as the External Secrets Operator fetches it.
//!
//! The steps are those of its documentation of the webhook provider: the URL and the headers are
//! templates over the reference and the Secrets that the store names; the JSON path selects a part of
//! the answer; `dataFrom.extract` takes that part as the data of the Secret.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Reply, send};
use crate::support::{Client, Regcred, kubectl, pair, password};

const BASE: &str = "/v1/tenants/team-a";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";

/// What templates can name: `.name.key`.
type Values<'a> = BTreeMap<(&'a str, &'a str), &'a str>;

/// The operator, with the token Secret that its user made.
struct Operator {
    token: String,
}

impl Operator {
    /// The request of a store for a key.
    async fn fetch(&self, store: &Value, key: &str) -> Reply {
        let webhook = &store["spec"]["provider"]["webhook"];
        let secret = &webhook["secrets"][0];
        assert_eq!(
            secret["secretRef"],
            json!({"name": "regcred-token", "key": "token"})
        );
        let name = secret["name"].as_str().expect("a name");
        let values = Values::from([
            (("remoteRef", "key"), key),
            ((name, "token"), self.token.as_str()),
        ]);
        let method = webhook["method"].as_str().expect("a method");
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let mut request = http.request(method, executed(text(&webhook["url"]), &values));
        for (header, template) in webhook["headers"].as_object().expect("a map") {
            request = request.header(header, executed(text(template), &values));
        }
        if let Some(body) = webhook["body"].as_str() {
            request = request.body(executed(body, &values));
        }
        send(request).await
    }

    /// The Secret that an ExternalSecret becomes.
    async fn make(&self, store: &Value, external: &Value) -> Value {
        let spec = &external["spec"];
        assert_eq!(spec["secretStoreRef"]["kind"], store["kind"]);
        assert_eq!(spec["secretStoreRef"]["name"], store["metadata"]["name"]);
        assert_eq!(
            external["metadata"]["namespace"],
            store["metadata"]["namespace"]
        );
        let key = text(&spec["dataFrom"][0]["extract"]["key"]);
        let reply = self.fetch(store, key).await.expect(200);
        let path = &store["spec"]["provider"]["webhook"]["result"]["jsonPath"];
        assert_eq!(path, "$", "the whole answer");
        let mut data = reply.json();
        for value in data.as_object_mut().expect("an object").values_mut() {
            use base64::Engine;
            let plain = value.as_str().expect("a text");
            *value = base64::prelude::BASE64_STANDARD.encode(plain).into();
        }
        let target = &spec["target"];
        let mut metadata = target["template"]["metadata"].clone();
        metadata["name"] = target["name"].clone();
        metadata["namespace"] = external["metadata"]["namespace"].clone();
        let annotations = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut);
        for value in annotations
            .into_iter()
            .flat_map(serde_json::Map::values_mut)
        {
            *value = executed(text(value), &Values::new()).into();
        }
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "type": target["template"]["type"], "data": data});
        if target["immutable"] == true {
            secret["immutable"] = true.into();
        }
        secret
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A template of Go, as far as fields and quoted texts go.
fn executed(template: &str, values: &Values<'_>) -> String {
    let mut result = String::new();
    let mut rest = template;
    while let Some((before, action)) = rest.split_once("{{") {
        let (action, after) = action.split_once("}}").expect("a closed action");
        result.push_str(before);
        let action = action.trim();
        let quoted = action
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        result.push_str(quoted.unwrap_or_else(|| {
            let field = action.strip_prefix('.').expect("a field");
            let (name, key) = field.split_once('.').expect("a field of a field");
            values.get(&(name, key)).expect("a known field")
        }));
        rest = after;
    }
    result + rest
}

async fn started() -> (Regcred, Client) {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let pull_secret = json!({
        "credentials": ["connect", "quay"],
        "target": {
            "namespace": "shop", "secret_name": "pull", "labels": {"team": "a"}, "immutable": true,
            "annotations": {"note": "{{ .not.ours }} {{{"}, "pull_from": ["other"], "service_accounts": ["default"],
        },
    });
    for (path, body) in [
        ("credentials/connect", pair()),
        (
            "credentials/quay",
            password("quay.io/team", "robot", "p\"w{{ .x.y }}"),
        ),
        ("pull-secrets/team-pull", pull_secret),
    ] {
        owner
            .put(&format!("{BASE}/{path}"), &body)
            .await
            .expect(201);
    }
    (regcred, owner)
}

/// The operator with the token of a puller.
async fn operator(regcred: &Regcred) -> Operator {
    let body = json!({"name": "eso", "role": "puller"});
    let reply = regcred.admin.post(&format!("{BASE}/tokens"), &body).await;
    Operator {
        token: reply.expect(201).text("/token").to_owned(),
    }
}

/// The store and the ExternalSecret of an answer, as kubectl reads them.
fn store_and_external(reply: &Reply) -> (Value, Value) {
    assert_eq!(reply.header("content-type"), "application/yaml");
    let objects = kubectl::objects(&reply.bytes);
    let [store, external] = objects.as_slice() else {
        panic!("two objects, not {}", reply.body());
    };
    for object in [store, external] {
        assert_eq!(object["apiVersion"], "external-secrets.io/v1");
        assert_eq!(
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"],
            "regcred"
        );
    }
    assert_eq!(
        (&store["kind"], &external["kind"]),
        (&json!("SecretStore"), &json!("ExternalSecret"))
    );
    (store.clone(), external.clone())
}

#[tokio::test]
async fn the_operator_makes_the_secret_that_would_have_been_rendered() {
    let (regcred, owner) = started().await;
    let operator = operator(&regcred).await;
    for more in [
        "",
        "&type=kubernetes.io/dockercfg",
        "&type=Opaque",
        "&namespace=n&secret_name=s",
    ] {
        let path = format!("{MANIFEST}?format=external-secret{more}");
        let (store, external) = store_and_external(&owner.get(&path).await.expect(200));
        let made = operator.make(&store, &external).await;
        let rendered = owner
            .get(&format!("{MANIFEST}?format=secret{more}"))
            .await
            .expect(200);
        assert_eq!(made, kubectl::objects(&rendered.bytes)[0], "{more}");
    }
}

#[tokio::test]
async fn a_former_version_is_fetched_into_a_secret_of_its_own_while_it_lasts() {
    let (regcred, owner) = started().await;
    let operator = operator(&regcred).await;
    let body = json!({"secret": "n3w", "overlap": 60});
    let quay = format!("{BASE}/credentials/quay");
    owner.patch(&quay, &body).await.expect(200);

    let reply = owner
        .get(&format!("{MANIFEST}?format=external-secret"))
        .await;
    let objects = kubectl::objects(&reply.expect(200).bytes);
    let rendered = owner.get(&format!("{MANIFEST}?format=secret")).await;
    let secrets = kubectl::objects(&rendered.expect(200).bytes);

    assert_eq!(objects.len(), 4);
    for (pair, secret) in objects.chunks(2).zip(&secrets) {
        assert_eq!(operator.make(&pair[0], &pair[1]).await, *secret);
    }
    assert_eq!(objects[3]["spec"]["target"]["name"], "pull-previous");
    // A 404 means to the operator that the secret was deleted; the policy says what follows.
    assert_eq!(objects[3]["spec"]["target"]["deletionPolicy"], "Delete");
    regcred.pass(61);
    let key = text(&objects[3]["spec"]["dataFrom"][0]["extract"]["key"]);
    operator
        .fetch(&objects[2], key)
        .await
        .expect_problem(404, "not-found");
    let reply = owner
        .get(&format!("{MANIFEST}?format=external-secret"))
        .await;
    store_and_external(&reply.expect(200));
}

#[tokio::test]
async fn credentials_and_what_is_not_stored_can_be_fetched_too() {
    let (regcred, owner) = started().await;
    let operator = operator(&regcred).await;
    let alone = format!("{BASE}/credentials/connect/manifest?namespace=shop");
    let reply = owner
        .get(&format!("{alone}&format=external-secret"))
        .await
        .expect(200);
    let (store, external) = store_and_external(&reply);
    let made = operator.make(&store, &external).await;
    assert_eq!(
        made,
        kubectl::objects(&owner.get(&alone).await.expect(200).bytes)[0]
    );

    let body = json!({"credentials": ["quay"], "target": {"namespace": "shop", "annotations": {"a": "{{ .b.c }}"}}});
    let path = format!("{BASE}/manifest");
    let reply = owner
        .post(&format!("{path}?format=external-secret"), &body)
        .await
        .expect(200);
    let (store, external) = store_and_external(&reply);
    let made = operator.make(&store, &external).await;
    let rendered = owner.post(&path, &body).await.expect(200);
    assert_eq!(made, kubectl::objects(&rendered.bytes)[0]);
}

#[tokio::test]
async fn a_split_pull_secret_is_fetched_as_one() {
    let (regcred, owner) = started().await;
    let operator = operator(&regcred).await;
    let patch = json!({"layout": "split"});
    owner
        .patch(&format!("{BASE}/pull-secrets/team-pull"), &patch)
        .await
        .expect(200);
    let path = format!("{MANIFEST}?format=external-secret");
    let (store, external) = store_and_external(&owner.get(&path).await.expect(200));
    let made = operator.make(&store, &external).await;
    let auths = &kubectl::decoded(&made, ".dockerconfigjson")["auths"];
    assert_eq!(auths.as_object().map(serde_json::Map::len), Some(3));
    owner
        .get(&format!("{path}&layout=split"))
        .await
        .expect_mistakes(&["/layout"]);
}

#[tokio::test]
async fn it_holds_no_secret_and_names_the_host_that_was_asked() {
    let (_regcred, owner) = started().await;
    let path = format!("{MANIFEST}?format=external-secret");
    let reply = owner.get(&path).await.expect(200);
    assert!(!reply.body().contains("s3cret") && !reply.body().contains("p\\\"w"));
    let asked = async |headers: &[(&str, &str)]| {
        let mut request = owner.request(Method::GET, &path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await.expect(200)
    };
    let by_name = asked(&[("host", "regcred.example.com")]).await;
    assert!(
        by_name
            .body()
            .contains("http://regcred.example.com/v1/tenants/team-a/pull-secrets/")
    );
    assert_ne!(by_name.header("etag"), reply.header("etag"));
    let proxied = asked(&[
        ("host", "regcred.example.com"),
        ("x-forwarded-proto", "https"),
    ])
    .await;
    assert!(proxied.body().contains("https://regcred.example.com/v1/"));
    assert_eq!(asked(&[]).await.bytes, reply.bytes);
}

#[tokio::test]
async fn the_configured_url_stands_over_the_host_that_was_asked() {
    let url = "https://regcred.example.com/below/".parse().expect("a URL");
    let regcred = Regcred::start_with(|broker| broker.with_public_url(Some(url))).await;
    let owner = regcred.tenant("team-a").await;
    let credential = password("quay.io", "robot", "p");
    owner
        .put(&format!("{BASE}/credentials/quay"), &credential)
        .await
        .expect(201);
    let path = format!("{BASE}/credentials/quay/manifest?format=external-secret");
    let (store, _) = store_and_external(&owner.get(&path).await.expect(200));
    let url = text(&store["spec"]["provider"]["webhook"]["url"]);
    assert!(
        url.starts_with("https://regcred.example.com/below/v1/tenants/team-a/credentials/{{"),
        "{url}"
    );
}

#[tokio::test]
async fn the_operator_is_told_in_statuses_that_it_knows() {
    let (regcred, owner) = started().await;
    let operator = operator(&regcred).await;
    let path = format!("{MANIFEST}?format=external-secret");
    let (mut store, external) = store_and_external(&owner.get(&path).await.expect(200));
    let key = text(&external["spec"]["dataFrom"][0]["extract"]["key"]);
    // 404 means that there is no such secret, 304 that the Secret stays as it is.
    operator.fetch(&store, "none").await.expect(404);
    let tag = operator.fetch(&store, key).await.expect(200);
    let tag = tag.header("etag").to_owned();
    store["spec"]["provider"]["webhook"]["headers"]["If-None-Match"] = tag.into();
    operator.fetch(&store, key).await.expect(304);
    let stranger = Operator {
        token: "rgc_x".into(),
    };
    stranger.fetch(&store, key).await.expect(401);
}
