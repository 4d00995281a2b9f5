//! The reasons in words.

use std::fmt;

use super::docker_cli::DOCKER_HUB_KEY;
use super::realm::Realm;
use super::{Choice, Effective, Half, HelperCall, Step};
use crate::auth_file::parse::shown;

/// Added where the real client picks one of several at random.
pub(super) const RANDOM: &str =
    " Several keys are as good, and the real client picks one of them at random.";

/// A key for a sentence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'k>(pub &'k str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0))
    }
}

/// What follows a helper without an answer, where nothing does.
pub(super) const HELPER_IS_FINAL: &str = "The helper's answer is final: it pulls anonymously.";

/// What names a helper for a registry.
pub(super) fn cred_helper(registry: &str, helper: &str) -> String {
    format!(
        "credHelpers names {} for {}",
        Shown(helper),
        Shown(registry)
    )
}

/// What names a helper for every registry.
pub(super) fn creds_store(helper: &str) -> String {
    format!("credsStore names {}", Shown(helper))
}

/// One helper is asked, once, and that is all.
pub(super) fn helper_is_asked(named: &str) -> String {
    format!("{named}: it is asked, and no entry of the file is used.")
}

/// Helpers are asked one question after the other; each comes with what names it.
pub(super) fn helpers_asked(named: &str, calls: &[(HelperCall, String)], then: &Choice) -> String {
    let key = then.matches.first().map(|found| Shown(&found.key));
    let follows = match (calls, key) {
        ([_], None) => return helper_is_asked(named),
        ([_], Some(key)) => {
            return format!(
                "{named}: it is asked, and if it has no answer, {key} of the file is used."
            );
        }
        (_, Some(key)) => format!("if there is none, {key} of the file is used"),
        (_, None) => "no entry of the file is used".into(),
    };
    let questions: Vec<String> = calls
        .iter()
        .map(|(call, _)| format!("{} for {}", Shown(&call.helper), Shown(&call.server)))
        .collect();
    format!(
        "{named}. Asked are {}; the first answer counts, and {follows}.",
        questions.join(", then ")
    )
}

pub(super) fn library_exact(title: &str, key: Shown<'_>) -> String {
    format!("{key} is a key that {title} looks up, byte for byte.")
}

pub(super) fn library_by_host(title: &str, key: Shown<'_>, wanted: &str) -> String {
    format!(
        "{} is no key, but {key} has that host; to {title} a key's path means nothing, so this serves every image there.",
        Shown(wanted)
    )
}

pub(super) fn library_empty(title: &str, key: Shown<'_>) -> String {
    format!("{key} is picked and holds nothing: {title} pulls anonymously.")
}

pub(super) fn library_nothing<'k>(
    title: &str,
    names: &[&str],
    keys: impl Iterator<Item = &'k str>,
) -> String {
    let wanted = names.last().copied().unwrap_or_default();
    let asked: Vec<String> = names.iter().map(|name| Shown(name).to_string()).collect();
    let rule = format!(
        "{title} looks for {}, or for a key with that host, and knows no wildcards",
        asked.join(", then ")
    );
    let hub = "for Docker Hub it takes exactly that key, byte for byte";
    match names {
        [DOCKER_HUB_KEY] => nothing(wanted, keys, hub),
        _ => nothing(wanted, keys, &rule),
    }
}

/// What of a login is not sent as it stands.
pub(super) fn sent(effective: &Effective) -> &'static str {
    match effective {
        Effective::Basic(login) if login.password.is_empty() => {
            " It has no password: nothing of it is sent."
        }
        Effective::None => " Nothing in it means anything to this client: it pulls anonymously.",
        _ => "",
    }
}

/// Beside a helper's answer an entry's bearer token is left.
pub(super) fn token_survives(key: Shown<'_>) -> String {
    format!("The registrytoken of {key} is used, whatever the helper has.")
}

pub(super) fn token_ends_search(title: &str, key: Shown<'_>) -> String {
    format!("The registrytoken of {key} ends the search, and {title} makes nothing of it.")
}

/// Added where a file names no credentials at all.
pub(super) const MAY_ASK_A_STORE: &str = " With a file that names no credentials it asks docker-credential-pass or docker-credential-secretservice, if one is installed.";

/// Added where a host that Docker runs has the credential of Docker Hub as a fallback.
pub(super) const HUB_FALLBACK: &str = " docker buildx uses Docker Hub's credential for this host where it has none of its own; buildctl does not.";

pub(super) fn docker_token_beside_helper(why: &str, helper: &str) -> String {
    format!(
        "{why} Its registrytoken goes before whatever the credential helper {} answers.",
        Shown(helper)
    )
}

pub(super) fn kubelet_tries(keys: &[Shown<'_>], how: super::kubelet::How) -> String {
    use super::kubelet::How;
    match (how, keys) {
        (How::AsDockerHub, _) => {
            "No key matches, and the image is taken for one of Docker Hub: then the key index.docker.io serves."
                .into()
        }
        (How::ByKey, [key]) => format!(
            "{key} matches: its host fits label by label, and the image's path starts with its path."
        ),
        (How::ByKey, keys) => format!(
            "{} keys match; kubelet tries one after the other until a pull works, in reverse byte order of the keys, which puts longer paths of one host first.",
            keys.len()
        ),
    }
}

pub(super) fn kubelet_nothing<'k>(name: &str, keys: impl Iterator<Item = &'k str>) -> String {
    let rule = "kubelet wants the host to fit label by label, the same port, and the image's path to start with the key's";
    nothing(name, keys, rule)
}

pub(super) fn containers_image_exact(key: Shown<'_>, name: &str) -> String {
    if key.0 == name {
        return format!(
            "{key} is the image's whole name; the first exact key is the only one used."
        );
    }
    format!(
        "{key} is the longest part of the image's name, cut at slashes, that is a key; the first exact key is the only one used."
    )
}

pub(super) fn containers_image_by_host(key: Shown<'_>, registry: &str) -> String {
    format!(
        "No part of the image's name is a key. {key} is the same registry as {} once its scheme is gone; the path behind a scheme does not count.",
        Shown(registry)
    )
}

pub(super) fn containers_image_stopped(key: Shown<'_>) -> String {
    format!(
        "The search ends at {key}, which holds no auth that could be used: user name, password and tokens beside it do not count, and shorter keys are not tried."
    )
}

pub(super) fn containers_image_nothing<'k>(
    name: &str,
    keys: impl Iterator<Item = &'k str>,
) -> String {
    let rule = "containers/image compares keys byte for byte with the image's name cut at its slashes, knows no wildcards, and drops the path only of keys with a scheme";
    nothing(name, keys, rule)
}

pub(super) fn docker_exact(key: Shown<'_>) -> String {
    if key.0.starts_with("https://") {
        return format!("{key} is the one key that Docker takes for Docker Hub.");
    }
    format!("{key} is the registry's key. Docker ignores paths: only the host counts.")
}

pub(super) fn docker_by_host(key: Shown<'_>, host: &str) -> String {
    format!(
        "{} is no key, but {key} has that host. Docker ignores paths: this is used for every image there.",
        Shown(host)
    )
}

pub(super) fn docker_nothing<'k>(key: &str, keys: impl Iterator<Item = &'k str>) -> String {
    if key.starts_with("https://") {
        let rule = "for Docker Hub it takes exactly this key, byte for byte";
        return nothing(key, keys, rule);
    }
    let rule = "Docker compares the hosts of the keys with the registry's, byte for byte, and knows no wildcards";
    nothing(key, keys, rule)
}

/// Nothing is found; where a key looks as if it should have been, the rule that it fails.
fn nothing<'k>(wanted: &str, keys: impl Iterator<Item = &'k str>, rule: &str) -> String {
    let domain = registered_domain(wanted);
    let mut near = keys.filter(|key| is_near(key, &domain)).map(Shown);
    let start = format!("No key is for {}: it pulls anonymously.", Shown(wanted));
    match (near.next(), near.next()) {
        (None, _) => start,
        (Some(key), None) => format!("{start} {key} does not match: {rule}."),
        (Some(key), Some(other)) => {
            format!("{start} Keys such as {key} and {other} do not match: {rule}.")
        }
    }
}

/// The last two labels of the host, in lower case.
fn registered_domain(wanted: &str) -> String {
    let bare = wanted.strip_prefix("https://").unwrap_or(wanted);
    let host = bare.split(['/', ':']).next().unwrap_or(bare);
    let domain = host
        .rmatch_indices('.')
        .nth(1)
        .map_or(host, |(at, _)| &host[at + 1..]);
    domain.to_ascii_lowercase()
}

/// Whether somebody may have meant a key for a domain.
fn is_near(key: &str, domain: &str) -> bool {
    !domain.is_empty() && key.len() >= domain.len() && key.to_ascii_lowercase().contains(domain)
}

pub(super) fn openshift_import<'s>(
    name: &str,
    realm: Option<&Realm>,
    steps: impl Iterator<Item = &'s Step>,
) -> String {
    let mut registry = None;
    let mut auth_server = None;
    for step in steps {
        match step.half {
            Half::Registry => registry = step.found.as_deref(),
            Half::AuthServer => auth_server = step.found.as_deref(),
        }
    }
    let name = Shown(name);
    let Some(realm) = realm else {
        return match registry {
            Some(key) => format!(
                "{} serves the registry. If the registry sends clients elsewhere to log in, that place needs an entry, too: ask again with auth_realm.",
                Shown(key)
            ),
            None => format!("No key is for {name}: it imports anonymously."),
        };
    };
    let realm = realm.to_string();
    let realm = Shown(&realm);
    match (registry.map(Shown), auth_server.map(Shown)) {
        (Some(key), Some(other)) if key.0 == other.0 => format!(
            "{key} serves both the registry and {realm}, where the registry sends clients to log in."
        ),
        (Some(key), Some(other)) => format!(
            "{key} serves the registry, and {other} serves {realm}, where the registry sends clients to log in."
        ),
        (Some(key), None) => format!(
            "{key} serves the registry, but no key is for {realm}, where the registry sends clients to log in: the auth server's half of the pair is missing, and the import is anonymous."
        ),
        (None, Some(other)) => format!(
            "{other} serves {realm}, where the registry sends clients to log in, but no key is for {name}: the registry's half of the pair is missing."
        ),
        (None, None) => format!(
            "No key is for {name}, and none for {realm}, where the registry sends clients to log in: it imports anonymously."
        ),
    }
}
