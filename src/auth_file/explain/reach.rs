//! Whether a key of an auth file is ever used: each client is asked about images that the key is meant for,
//! and about one that it is not.

use super::{CLIENTS, Client, Parsed, Question};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::model::registry_path::RegistryPath;

/// Images that a registry path is meant for, and one beyond it.
#[derive(Debug, Clone)]
pub struct Images {
    within: Vec<String>,
    beyond: Option<String>,
}

impl Images {
    /// Those of a path: a repository below it, and the one that it names itself.
    pub fn of(path: &RegistryPath) -> Self {
        let host = path.host().replace('*', "a");
        let namespace = match path.path() {
            "" if path.is_docker_hub() => "library",
            "" => "team",
            path => path,
        };
        Self {
            within: vec![
                format!("{host}/{namespace}/app"),
                format!("{host}/{namespace}"),
            ],
            beyond: (!path.path().is_empty()).then(|| format!("{host}/elsewhere-0/app")),
        }
    }

    /// Whether a client uses a key of a file for one of the images that the key is meant for.
    pub fn use_key(&self, client: &dyn Client, file: &Parsed, key: &str) -> bool {
        self.within
            .iter()
            .any(|image| tries(client, file, image, key))
    }
}

/// Whether a key is among those that a client tries for an image.
fn tries(client: &dyn Client, file: &Parsed, image: &str, key: &str) -> bool {
    let question = Question {
        file,
        image,
        realm: None,
    };
    let outcome = client.explain(&question).outcome;
    outcome.is_ok_and(|choice| choice.matches.iter().any(|found| found.key == key))
}

/// A file of one key, to try it alone.
#[derive(Debug)]
pub struct Probe<'k> {
    key: &'k str,
    format: FileFormat,
    file: Parsed,
    images: Images,
}

impl<'k> Probe<'k> {
    /// A file of a format with one key, which means a registry path.
    pub fn new(key: &'k str, path: &RegistryPath, format: FileFormat) -> Self {
        let entry = serde_json::json!({key: {"auth": "dTpw"}});
        let file = match format {
            FileFormat::Config => serde_json::json!({"auths": entry}),
            FileFormat::Dockercfg => entry,
        };
        Self {
            key,
            format,
            file: AuthFile::parse(file.to_string().as_bytes(), format),
            images: Images::of(path),
        }
    }

    /// Those that read a file of this format at all.
    pub fn readers(&self) -> impl Iterator<Item = &'static dyn Client> {
        let format = self.format;
        CLIENTS
            .into_iter()
            .filter(move |client| client.reads(format))
    }

    /// Whether a client would use the key for any image that it is meant for.
    pub fn is_used(&self, client: &dyn Client) -> bool {
        self.images.use_key(client, &self.file, self.key)
    }

    /// Whether it would use it for images that it is not meant for.
    pub fn is_used_beyond(&self, client: &dyn Client) -> bool {
        let beyond = self.images.beyond.as_deref();
        beyond.is_some_and(|image| tries(client, &self.file, image, self.key))
    }
}

/// The clients that pick one of several keys at random for an image.
pub fn clients_by_chance(file: &Parsed, image: &str) -> Vec<&'static dyn Client> {
    let question = Question {
        file,
        image,
        realm: None,
    };
    let by_chance = |client: &&dyn Client| {
        let outcome = client.explain(&question).outcome;
        outcome.is_ok_and(|choice| choice.ambiguous)
    };
    CLIENTS.into_iter().filter(by_chance).collect()
}

/// The clients that never use a key of a file for the images that it is meant for: another key, or the rules
/// of the client, keep them from it.
pub fn clients_without(file: &Parsed, key: &str, path: &RegistryPath) -> Vec<&'static dyn Client> {
    let images = Images::of(path);
    CLIENTS
        .into_iter()
        .filter(|client| !images.use_key(*client, file, key))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(keys: &[&str], key: &str) -> Vec<&'static str> {
        let auths: serde_json::Value = keys
            .iter()
            .map(|key| ((*key).to_owned(), serde_json::json!({"auth": "dTpw"})))
            .collect();
        let text = serde_json::json!({"auths": auths}).to_string();
        let file = AuthFile::parse(text.as_bytes(), FileFormat::Config);
        let path = RegistryPath::parse(key).expect("a path");
        let clients = clients_without(&file, key, &path).into_iter();
        clients.map(Client::name).collect()
    }

    #[test]
    fn a_path_is_out_of_reach_where_the_host_goes_first() {
        let by_host = ["docker", "buildkit", "nerdctl", "oras"];
        assert_eq!(
            without(&["quay.io", "quay.io/team"], "quay.io/team"),
            by_host
        );
        assert!(without(&["quay.io/team"], "quay.io/team").is_empty());
        assert!(without(&["quay.io", "quay.io/other"], "quay.io").is_empty());
    }

    #[test]
    fn docker_hub_has_no_paths_but_for_those_who_spell_it_so() {
        let never = ["docker", "ggcr", "buildkit", "nerdctl", "oras"];
        assert_eq!(without(&["docker.io/team"], "docker.io/team"), never);
        let hub = "https://index.docker.io/v1/";
        assert!(without(&[hub], hub).is_empty());
    }
}
