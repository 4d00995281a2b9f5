//! Docker: the registry's host, and nothing else, decides.

use std::borrow::Cow;

use super::docker_cli::{Hit, before_slash, behind_scheme, get, host_of_url};
use super::words::{self, Shown};
use super::{Choice, Client, Effective, Explanation, HelperCall, Question};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::auth_file::reading::{Login, Reader, Reading, read};
use crate::model::image_name::{Grammar, ImageName};

/// The Docker command line.
pub(super) struct Docker;

impl Client for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn title(&self) -> &'static str {
        "Docker"
    }

    fn reader(&self) -> Reader {
        Reader::Docker
    }

    fn reads(&self, format: FileFormat) -> bool {
        format == FileFormat::Config
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let name = match ImageName::parse(question.image, Grammar::Distribution) {
            Ok(name) => name,
            Err(error) => return Explanation::invalid_image(error),
        };
        let domain = name.domain().to_owned();
        let file = match question.file {
            Ok(file) => file,
            Err(error) => return Explanation::unreadable_file(domain, error),
        };
        match read(file, Reader::Docker) {
            Ok(reading) => Explanation {
                outcome: Ok(choose(file, &reading, &domain)),
                lookup: Some(domain),
            },
            Err(error) => Explanation::unreadable_file(domain, &error),
        }
    }
}

fn choose(file: &AuthFile, reading: &Reading<'_>, domain: &str) -> Choice {
    let got = get(file, reading, domain, host_form);
    let hit = got.hit.as_ref();
    let from_entries = || match hit {
        Some(hit) => picked(hit, got.wanted),
        None => {
            let keys = reading.entries.iter().map(|entry| entry.key);
            Choice::nothing(words::docker_nothing(got.wanted, keys))
        }
    };
    match &got.helper {
        Some((helper, named)) => {
            let call = HelperCall::new(helper, got.wanted);
            beside_helper(hit, from_entries, call, named)
        }
        None => from_entries(),
    }
}

/// As in the library, but of a URL that cannot be parsed what follows its scheme: later than the others have
/// it.
fn host_form(key: &str) -> Cow<'_, [u8]> {
    host_of_url(key).unwrap_or_else(|| before_slash(behind_scheme(key).unwrap_or(key)).into())
}

fn picked(hit: &Hit<'_, '_>, wanted: &str) -> Choice {
    let key = hit.entry.key;
    let mut why = match hit.is_exact {
        true => words::docker_exact(Shown(key)),
        false => words::docker_by_host(Shown(key), wanted),
    };
    let is_random = hit.is_random(|_| false);
    if is_random {
        why.push_str(words::RANDOM);
    }
    Choice {
        ambiguous: is_random,
        ..Choice::one(key, hit.entry.login().effective(), why)
    }
}

/// A helper's answer replaces all of an entry but its bearer token, which Docker prefers to anything else.
fn beside_helper(
    hit: Option<&Hit<'_, '_>>,
    from_entries: impl Fn() -> Choice,
    call: HelperCall,
    named: &str,
) -> Choice {
    let token = hit.map(|hit| hit.entry.login().registry_token);
    let Some(registry_token) = token.filter(|token| !token.is_empty()) else {
        let otherwise = Choice::nothing(words::HELPER_IS_FINAL);
        return Choice::helpers(vec![call], otherwise, words::helper_is_asked(named));
    };
    let from_entries = from_entries();
    let token = Login {
        registry_token,
        ..Login::default()
    };
    Choice {
        effective: Effective::RegistryToken(token),
        why: words::docker_token_beside_helper(&from_entries.why, &call.helper),
        helper_calls: vec![call],
        ..from_entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_file::parse::FileFormat;

    /// The keys that are tried, and the bearer token or the helper.
    fn explained(text: &str) -> (Vec<String>, String) {
        let explanation = Docker.explain(&Question {
            file: &AuthFile::parse(text.as_bytes(), FileFormat::Config),
            image: "quay.io/acme/app",
            realm: None,
        });
        let choice = explanation.outcome.expect("Docker does not fail");
        let used = match choice.effective {
            Effective::RegistryToken(login) => {
                assert!(login.username.is_empty() && login.password.is_empty());
                String::from_utf8_lossy(login.registry_token.expose()).into_owned()
            }
            Effective::Helper(helper) => format!("helper {helper}"),
            other => panic!("{other:?}"),
        };
        let keys = choice.matches.into_iter().map(|found| found.key);
        (keys.collect(), used)
    }

    #[test]
    fn a_bearer_token_goes_before_what_a_helper_answers() {
        let token = r#"{"auth": "dTpw", "registrytoken": "bearer"}"#;
        for helper in [r#""credsStore": "s""#, r#""credHelpers": {"quay.io": "s"}"#] {
            for key in ["quay.io", "https://quay.io/v1/"] {
                let text = format!(r#"{{"auths": {{"{key}": {token}}}, {helper}}}"#);
                let expected = (vec![key.to_owned()], "bearer".to_owned());
                assert_eq!(explained(&text), expected, "{text}");
            }
            let text = format!(
                r#"{{"auths": {{"ghcr.io": {token}, "quay.io": {{"auth": "dTpw"}}}}, {helper}}}"#
            );
            assert_eq!(explained(&text), (vec![], "helper s".to_owned()), "{text}");
        }
    }
}
