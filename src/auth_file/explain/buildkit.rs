//! BuildKit, with the look-up of docker buildx: what `docker build` does. The registry's host decides, and a
//! broken file is only a warning.

use super::docker_cli::{
    DOCKER_HUB_HOST, DOCKER_HUB_KEY, Search, helper_for, host_form, key_of, read_config,
};
use super::words;
use super::{Client, Effective, Explanation, GoesOnWith, LoginKind, Question};
use crate::auth_file::parse::{AuthFile, Entry, FileFormat};
use crate::auth_file::reading::{Class, Login, Reader, bytes_of, read_entry};
use crate::model::image_name::{Grammar, ImageName};

/// Hosts of Docker's for which docker buildx falls back to Docker Hub's credential.
const HUB_BACKED: [&str; 2] = ["dhi.io", "registry.scout.docker.com"];

/// BuildKit, as `docker build` uses it.
pub(super) struct BuildKit;

impl Client for BuildKit {
    fn name(&self) -> &'static str {
        "buildkit"
    }

    fn title(&self) -> &'static str {
        "BuildKit"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["docker-build", "buildx"]
    }

    fn reader(&self) -> Reader {
        Reader::Docker
    }

    fn reads(&self, format: FileFormat) -> bool {
        format == FileFormat::Config
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let name = match ImageName::parse(question.image, Grammar::Distribution) {
            Ok(name) => name.to_string(),
            Err(error) => return Explanation::invalid_image(error),
        };
        let lookup = lookup_of(&name);
        let mut names = vec![lookup];
        if HUB_BACKED.contains(&lookup) {
            names.push(DOCKER_HUB_KEY);
        }
        let (error, file) = match question.file {
            Ok(file) => match read_config(file) {
                Ok(reading) => {
                    let search = Search {
                        title: self.title(),
                        is_passed_over: |_| false,
                        effective: Login::effective,
                        names: &names,
                    };
                    let mut choice = search.run(file, &reading);
                    choice.why.push_str(more(file, &names));
                    return Explanation {
                        lookup: Some(lookup.to_owned()),
                        outcome: Ok(choice),
                    };
                }
                Err(error) => (error, Some(file)),
            },
            Err(error) => (error.clone(), None),
        };
        let mut explanation = Explanation::unreadable_file(lookup.to_owned(), &error);
        if let Err(failure) = &mut explanation.outcome {
            failure.goes_on_with = match file {
                Some(file) => by_key(after_warning(file, error.class, &names)),
                None => vec![outcome(None, LoginKind::None)],
            };
        }
        explanation
    }
}

/// The host before the first slash; for Docker Hub its one key.
fn lookup_of(name: &str) -> &str {
    match name.split_once('/').map_or(name, |(host, _)| host) {
        "docker.io" | DOCKER_HUB_HOST => DOCKER_HUB_KEY,
        host => host,
    }
}

/// What there is to be said of a file and a host beside the look-up.
fn more(file: &AuthFile, names: &[&str]) -> &'static str {
    let names_nothing =
        file.entries.is_empty() && file.cred_helpers.is_empty() && file.creds_store.is_empty();
    match names {
        _ if names_nothing || file.format == FileFormat::Dockercfg => words::MAY_ASK_A_STORE,
        [_, _] => words::HUB_FALLBACK,
        _ => "",
    }
}

/// What may come of a look-up in a file that could not be loaded: of a wrong type the entries as they stand
/// in the text, with `auth` undecoded; of an `auth` that is none those decoded that chance brought first.
fn after_warning(file: &AuthFile, class: Class, names: &[&str]) -> Vec<GoesOnWith> {
    let Some((name, rest)) = names.split_first() else {
        return vec![outcome(None, LoginKind::None)];
    };
    let wanted = key_of(name);
    if helper_for(file, wanted).is_some() {
        return vec![outcome(None, LoginKind::Helper)];
    }
    let mut outcomes = Vec::new();
    for entry in candidates(file, wanted) {
        if class != Class::JsonType
            && let Ok(login) = read_entry(entry, Reader::Docker)
        {
            outcomes.push(outcome(Some(entry), login.effective().kind()));
        }
        match undecoded(entry).effective() {
            Effective::Anonymous if has_auth(entry) => {
                outcomes.push(outcome(None, LoginKind::None))
            }
            Effective::Anonymous => outcomes.extend(after_warning(file, class, rest)),
            effective => outcomes.push(outcome(Some(entry), effective.kind())),
        }
    }
    match outcomes.is_empty() {
        true => after_warning(file, class, rest),
        false => outcomes,
    }
}

/// The entry of a key, or those that have its host.
fn candidates<'f>(file: &'f AuthFile, wanted: &str) -> Vec<&'f Entry> {
    if let Some(entry) = file.counting().find(|entry| entry.key == wanted) {
        return vec![entry];
    }
    let has_host = |entry: &&Entry| host_form(&entry.key).as_ref() == wanted.as_bytes();
    file.counting().filter(has_host).collect()
}

fn undecoded(entry: &Entry) -> Login {
    let fields = &entry.fields;
    Login {
        username: bytes_of(&fields.username),
        password: bytes_of(&fields.password),
        identity_token: bytes_of(&fields.identity_token),
        registry_token: bytes_of(&fields.registry_token),
        ..Login::default()
    }
}

fn has_auth(entry: &Entry) -> bool {
    let auth = entry.fields.auth.as_ref();
    auth.is_some_and(|auth| !auth.is_empty())
}

fn outcome(entry: Option<&Entry>, kind: LoginKind) -> GoesOnWith {
    GoesOnWith {
        key: entry.map(|entry| entry.key.clone()),
        kinds: vec![kind],
    }
}

/// Each key once, in byte order, and last that there is none.
fn by_key(mut outcomes: Vec<GoesOnWith>) -> Vec<GoesOnWith> {
    outcomes.sort_by(|one, other| {
        let none_last = one.key.is_none().cmp(&other.key.is_none());
        none_last.then_with(|| (&one.key, &one.kinds).cmp(&(&other.key, &other.kinds)))
    });
    let mut grouped: Vec<GoesOnWith> = Vec::new();
    for outcome in outcomes {
        match grouped.last_mut() {
            Some(last) if last.key == outcome.key => {
                let new = outcome.kinds.into_iter();
                last.kinds.extend(new);
                last.kinds.dedup();
            }
            _ => grouped.push(outcome),
        }
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is gone on with after the warning of a file.
    fn outcomes(text: &str, image: &str) -> Vec<(Option<String>, Vec<LoginKind>)> {
        let explanation = BuildKit.explain(&Question {
            file: &AuthFile::parse(text.as_bytes(), FileFormat::Config),
            image,
            realm: None,
        });
        let failure = explanation.outcome.expect_err("the file is broken");
        let outcomes = failure.goes_on_with.into_iter();
        outcomes
            .map(|outcome| (outcome.key, outcome.kinds))
            .collect()
    }

    fn used(key: &str, kind: LoginKind) -> (Option<String>, Vec<LoginKind>) {
        (Some(key.to_owned()), vec![kind])
    }

    #[test]
    fn chance_decides_what_was_decoded_before_a_bad_auth() {
        let none = (None, vec![LoginKind::None]);
        let bad = r#""ghcr.io": {"auth": "*"}"#;
        let text = format!(r#"{{"auths": {{"quay.io": {{"auth": "dTpw"}}, {bad}}}}}"#);
        let expected = [used("quay.io", LoginKind::Basic), none.clone()];
        assert_eq!(outcomes(&text, "quay.io/a/b"), expected);
        assert_eq!(outcomes(&text, "ghcr.io/a/b"), std::slice::from_ref(&none));
        let text = format!(r#"{{"auths": {{"quay.io": {{"identitytoken": "t"}}, {bad}}}}}"#);
        assert_eq!(
            outcomes(&text, "quay.io/a"),
            [used("quay.io", LoginKind::IdentityToken)]
        );
        let text = format!(r#"{{"auths": {{"quay.io": {{}}, {bad}}}}}"#);
        assert_eq!(
            outcomes(&text, "quay.io/a"),
            [used("quay.io", LoginKind::Anonymous), none]
        );
    }

    #[test]
    fn a_wrong_type_leaves_the_text_of_the_entries() {
        let text = r#"{"psFormat": 1, "auths": {"quay.io": {"username": "u", "password": "p"}, "a.test": {"auth": "dTpw"}}}"#;
        assert_eq!(
            outcomes(text, "quay.io/a"),
            [used("quay.io", LoginKind::Basic)]
        );
        assert_eq!(outcomes(text, "a.test/a"), [(None, vec![LoginKind::None])]);
        let text = r#"{"psFormat": 1, "credsStore": "x"}"#;
        assert_eq!(
            outcomes(text, "quay.io/a"),
            [(None, vec![LoginKind::Helper])]
        );
    }
}
