//! nerdctl: the host under up to seven names, with the port that TLS implies and without.

use super::docker_cli::{DOCKER_HUB_HOST, DOCKER_HUB_KEY, Search, read_config};
use super::{Client, Effective, Explanation, Question};
use crate::auth_file::parse::FileFormat;
use crate::auth_file::reading::{Login, Reader};
use crate::auth_file::secret_bytes::SecretBytes;
use crate::model::image_name::{Grammar, ImageError, ImageName, is_digest};

/// The port that stands in where an image has none.
const IMPLIED_PORT: &str = ":443";

/// nerdctl.
pub(super) struct Nerdctl;

impl Client for Nerdctl {
    fn name(&self) -> &'static str {
        "nerdctl"
    }

    fn title(&self) -> &'static str {
        "nerdctl"
    }

    fn reader(&self) -> Reader {
        Reader::Docker
    }

    fn reads(&self, format: FileFormat) -> bool {
        format == FileFormat::Config
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let host = match host_of(question.image) {
            Ok(host) => host,
            Err(error) => return Explanation::invalid_image(error),
        };
        let file = match question.file {
            Ok(file) => file,
            Err(error) => return Explanation::unreadable_file(host, error),
        };
        let reading = match read_config(file) {
            Ok(reading) => reading,
            Err(error) => return Explanation::unreadable_file(host, &error),
        };
        let names = names_of(&host);
        let search = Search {
            title: self.title(),
            is_passed_over,
            effective,
            names: &names.iter().map(String::as_str).collect::<Vec<_>>(),
        };
        Explanation {
            outcome: Ok(search.run(file, &reading)),
            lookup: Some(host),
        }
    }
}

/// A digest alone is the id of an image that is there; nothing is looked up for it.
fn host_of(image: &str) -> Result<String, ImageError> {
    if is_digest(image) {
        return Err(ImageError::ImageId);
    }
    let name = ImageName::parse(image, Grammar::Distribution)?.to_string();
    let host = name.split_once('/').map_or(name.as_str(), |(host, _)| host);
    Ok(match host {
        "docker.io" => DOCKER_HUB_HOST.to_owned(),
        host => host.to_owned(),
    })
}

/// The names that are looked up for a host. An address without a port loses its brackets, as they are not
/// put back with the implied port.
fn names_of(host: &str) -> Vec<String> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let with_port = match has_port {
        true => host.to_owned(),
        false => format!("{}{IMPLIED_PORT}", without_brackets(host)),
    };
    let mut names = vec![with_port.clone()];
    let bare = with_port.strip_suffix(IMPLIED_PORT).map(without_brackets);
    if bare == Some(DOCKER_HUB_HOST) {
        names.push(DOCKER_HUB_KEY.to_owned());
    }
    names.push(format!("https://{with_port}"));
    names.push(format!("http://{with_port}"));
    if let Some(bare) = bare {
        names.push(bare.to_owned());
        names.push(format!("https://{bare}"));
        names.push(format!("http://{bare}"));
    }
    names
}

fn without_brackets(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// White space is no user.
fn is_passed_over(login: &Login) -> bool {
    let rest = Login {
        username: trimmed(&login.username),
        ..login.clone()
    };
    rest.is_empty()
}

/// An identity token goes without the user, white space around a user is cut off, and a bearer token is not
/// known.
fn effective(login: &Login) -> Effective {
    if !login.identity_token.is_empty() {
        return Effective::IdentityToken(Login {
            identity_token: login.identity_token.clone(),
            ..Login::default()
        });
    }
    let username = trimmed(&login.username);
    if username.is_empty() && login.password.is_empty() {
        return Effective::None;
    }
    Effective::Basic(Login {
        username,
        password: login.password.clone(),
        ..Login::default()
    })
}

/// Without white space at both ends; in what is no UTF-8, without that of ASCII.
fn trimmed(username: &SecretBytes) -> SecretBytes {
    let bytes = username.expose();
    let rest = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => bytes.trim_ascii(),
    };
    SecretBytes::new(rest.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_up_to_seven_names() {
        assert_eq!(
            names_of("registry-1.docker.io"),
            [
                "registry-1.docker.io:443",
                "https://index.docker.io/v1/",
                "https://registry-1.docker.io:443",
                "http://registry-1.docker.io:443",
                "registry-1.docker.io",
                "https://registry-1.docker.io",
                "http://registry-1.docker.io",
            ]
        );
        assert_eq!(
            names_of("quay.io:5000"),
            [
                "quay.io:5000",
                "https://quay.io:5000",
                "http://quay.io:5000"
            ]
        );
        assert_eq!(names_of("[2001:db8::1]")[0], "2001:db8::1:443");
        assert_eq!(names_of("[2001:db8::1]")[3], "2001:db8::1");
        assert_eq!(names_of("[2001:db8::1]:443")[0], "[2001:db8::1]:443");
        assert_eq!(names_of("[2001:db8::1]:443")[3], "2001:db8::1");
    }

    #[test]
    fn a_digest_alone_is_an_id() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(host_of(&digest), Err(ImageError::ImageId));
        assert_eq!(host_of("alpine"), Ok(DOCKER_HUB_HOST.to_owned()));
        assert_eq!(
            host_of("reg_istry.test/app"),
            Ok("reg_istry.test".to_owned())
        );
    }
}
