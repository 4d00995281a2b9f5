//! The real `kubectl` as an oracle. It needs no cluster for what is asked of it here.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs `kubectl` and gives what it prints.
#[track_caller]
pub fn run(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(
            "kubectl 1.25 or newer is on PATH; the tests ask it what it makes of the same values",
        );
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("kubectl ends");
    writer
        .join()
        .expect("no panic")
        .expect("kubectl reads its input");
    assert!(
        output.status.success(),
        "kubectl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The objects in a manifest, as `kubectl` reads them.
#[track_caller]
pub fn objects(manifest: &[u8]) -> Vec<Value> {
    // `label --local` is a dry run on the client that takes any object and asks no server.
    let printed = run(
        &[
            "label",
            "--local",
            "--filename=-",
            "--output=json",
            "read-by=kubectl",
        ],
        manifest,
    );
    let mut objects: Vec<Value> = serde_json::Deserializer::from_slice(&printed)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("kubectl prints JSON");
    if let [list] = objects.as_slice()
        && list["kind"] == "List"
    {
        objects = list["items"].as_array().expect("items").clone();
    }
    for object in &mut objects {
        let labels = object["metadata"]["labels"]
            .as_object_mut()
            .expect("labels");
        labels.remove("read-by");
    }
    objects
}

/// The decoded `.dockerconfigjson` that `kubectl create secret docker-registry` makes.
#[track_caller]
pub fn docker_registry(server: &str, username: &str, password: &str, email: Option<&str>) -> Value {
    let mut arguments = vec![
        "create".to_owned(),
        "secret".to_owned(),
        "docker-registry".to_owned(),
        "x".to_owned(),
        "--dry-run=client".to_owned(),
        "--output=json".to_owned(),
        format!("--docker-server={server}"),
        format!("--docker-username={username}"),
        format!("--docker-password={password}"),
    ];
    arguments.extend(email.map(|email| format!("--docker-email={email}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let secret: Value = serde_json::from_slice(&run(&arguments, b"")).expect("kubectl prints JSON");
    decoded(&secret, ".dockerconfigjson")
}

/// A key of a Secret's data, decoded from base64 and parsed as JSON.
#[track_caller]
pub fn decoded(secret: &Value, key: &str) -> Value {
    use base64::Engine;
    let text = secret["data"][key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} in {secret}"));
    let bytes = base64::prelude::BASE64_STANDARD
        .decode(text)
        .expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}
