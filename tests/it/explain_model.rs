//! The clients that share a library, held against a second model of them: one over the parts of keys and
//! images, where theirs is over text.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use regcred::auth_file::explain::{Question, client_named};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use serde_json::{Value, json};

const HUB: &str = "https://index.docker.io/v1/";
const HUB_HOST: &str = "registry-1.docker.io";

/// A key in its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    scheme: &'static str,
    host: &'static str,
    port: &'static str,
    path: &'static str,
}

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Account,
    IdentityToken,
    RegistryToken,
    Nothing,
}

type Entry = (Key, Holds);

impl Key {
    fn text(&self) -> String {
        [self.scheme, self.host, self.port, self.path].concat()
    }

    /// Docker's library drops any scheme, and the path.
    fn host_form(&self) -> String {
        [self.host, self.port].concat()
    }

    /// oras knows two schemes; of another it takes what stands before the first slash.
    fn oras_form(&self) -> String {
        match self.scheme {
            "" | "https://" | "http://" => self.host_form(),
            other => other.trim_end_matches("//").to_owned(),
        }
    }
}

impl Holds {
    fn fields(self) -> Value {
        match self {
            Self::Account => json!({"auth": "dTpw"}),
            Self::IdentityToken => json!({"identitytoken": "t"}),
            Self::RegistryToken => json!({"registrytoken": "t"}),
            Self::Nothing => json!({}),
        }
    }
}

/// An image in its parts.
#[derive(Debug, Clone)]
struct Image {
    host: &'static str,
    port: &'static str,
    path: &'static str,
}

/// What is picked: a key, or none; and whether by chance.
type Picked = (Option<String>, bool);

/// A client's choice among entries.
type Model = fn(&[Entry], &Image) -> Picked;

/// The entries of a name: the one of that key, else all that have that host.
fn get<'e>(entries: &'e [Entry], name: &str, form: fn(&Key) -> String) -> Vec<&'e Entry> {
    let exact: Vec<_> = entries
        .iter()
        .filter(|(key, _)| key.text() == name)
        .collect();
    if !exact.is_empty() {
        return exact;
    }
    let mut equals: Vec<_> = entries
        .iter()
        .filter(|(key, _)| form(key) == name)
        .collect();
    equals.sort_by_key(|(key, _)| key.text());
    equals
}

/// Looks names up one after the other; an entry that holds nothing is passed over.
fn first_full(entries: &[Entry], names: &[String]) -> Picked {
    let mut by_chance = false;
    for name in names {
        let is_hub = name == "docker.io" || name == "index.docker.io";
        let name = if is_hub { HUB } else { name };
        let found = get(entries, name, Key::host_form);
        by_chance |= found.len() > 1 && found.iter().any(|(_, holds)| *holds != Holds::Nothing);
        match found.first() {
            Some((key, holds)) if *holds != Holds::Nothing => return (Some(key.text()), by_chance),
            _ => {}
        }
    }
    (None, by_chance)
}

fn ggcr(entries: &[Entry], image: &Image) -> Picked {
    let is_hub = image.port.is_empty() && ["docker.io", "index.docker.io"].contains(&image.host);
    let registry = if is_hub {
        "index.docker.io".to_owned()
    } else {
        [image.host, image.port].concat()
    };
    let whole = match image.path.contains('/') || !is_hub {
        true => format!("{registry}/{}", image.path),
        false => format!("{registry}/library/{}", image.path),
    };
    let second = if is_hub { HUB.to_owned() } else { registry };
    first_full(entries, &[whole, second])
}

/// Where an image is asked for.
fn host_of(image: &Image) -> String {
    match (image.host, image.port) {
        ("docker.io" | "index.docker.io", "") => HUB_HOST.to_owned(),
        (host, port) => [host, port].concat(),
    }
}

fn buildkit(entries: &[Entry], image: &Image) -> Picked {
    let host = host_of(image);
    let name = if host == HUB_HOST {
        HUB.to_owned()
    } else {
        host.clone()
    };
    let mut found = get(entries, &name, Key::host_form);
    if found.is_empty() && host == "dhi.io" {
        found = get(entries, HUB, Key::host_form);
    }
    (found.first().map(|(key, _)| key.text()), found.len() > 1)
}

fn nerdctl(entries: &[Entry], image: &Image) -> Picked {
    let host = host_of(image);
    let (bare, port) = host.split_once(':').unwrap_or((&host, "443"));
    let mut names = vec![format!("{bare}:{port}")];
    names.extend((host == HUB_HOST || host == "registry-1.docker.io:443").then(|| HUB.to_owned()));
    names.extend(["https", "http"].map(|scheme| format!("{scheme}://{bare}:{port}")));
    if port == "443" {
        names.push(bare.to_owned());
        names.extend(["https", "http"].map(|scheme| format!("{scheme}://{bare}")));
    }
    let (key, by_chance) = first_full(entries, &names);
    // A bearer token ends the search, and nothing is made of it.
    let is_token = |key: &String| {
        let of_key = entries.iter().find(|(known, _)| known.text() == *key);
        of_key.is_some_and(|(_, holds)| *holds == Holds::RegistryToken)
    };
    (key.filter(|key| !is_token(key)), by_chance)
}

fn oras(entries: &[Entry], image: &Image) -> Picked {
    let name = match (image.host, image.port) {
        ("docker.io" | HUB_HOST, "") => HUB.to_owned(),
        (host, port) => [host, port].concat(),
    };
    let found = get(entries, &name, Key::oras_form);
    let by_chance = found.len() > 1 && found.iter().any(|(_, holds)| *holds != Holds::Nothing);
    let first = found.first().filter(|(_, holds)| *holds != Holds::Nothing);
    (first.map(|(key, _)| key.text()), by_chance)
}

fn explained(client: &str, entries: &[Entry], image: &Image) -> Picked {
    let auths: Value = entries
        .iter()
        .map(|(key, holds)| (key.text(), holds.fields()))
        .collect();
    let text = json!({"auths": auths}).to_string();
    let image = format!("{}{}/{}", image.host, image.port, image.path);
    let client = client_named(client).expect("a client");
    let explanation = client.explain(&Question {
        file: &AuthFile::parse(text.as_bytes(), FileFormat::Config),
        image: &image,
        realm: None,
    });
    let choice = explanation.outcome.expect("it does not fail");
    assert!(choice.matches.len() <= 1);
    (
        choice.matches.into_iter().next().map(|found| found.key),
        choice.ambiguous,
    )
}

fn hosts() -> impl Strategy<Value = &'static str> {
    select(vec![
        "quay.io",
        "docker.io",
        "index.docker.io",
        HUB_HOST,
        "dhi.io",
        "registry.example.com",
    ])
}

fn ports() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", ":443", ":5000"])
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let schemes = select(vec!["", "", "https://", "http://", "HTTPS://", "ftp://"]);
    let paths = select(vec![
        "",
        "",
        "/",
        "/acme",
        "/acme/app",
        "/library/app",
        "/v1/",
    ]);
    let key = (schemes, hosts(), ports(), paths);
    let key = key.prop_map(|(scheme, host, port, path)| Key {
        scheme,
        host,
        port,
        path,
    });
    let holds = select(vec![
        Holds::Account,
        Holds::Account,
        Holds::IdentityToken,
        Holds::RegistryToken,
        Holds::Nothing,
    ]);
    vec((key, holds), 0..7).prop_map(|mut entries| {
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.dedup_by(|(one, _), (other, _)| one == other);
        entries
    })
}

fn images() -> impl Strategy<Value = Image> {
    let paths = select(vec!["app", "acme/app", "acme/team/app", "library/app"]);
    (hosts(), ports(), paths).prop_map(|(host, port, path)| Image { host, port, path })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn both_models_pick_the_same(entries in entries(), image in images()) {
        let models: [(&str, Model); 4] =
            [("ggcr", ggcr), ("buildkit", buildkit), ("nerdctl", nerdctl), ("oras", oras)];
        for (client, model) in models {
            prop_assert_eq!(explained(client, &entries, &image), model(&entries, &image), "{}", client);
        }
    }
}
