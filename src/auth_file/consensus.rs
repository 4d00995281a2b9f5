//! What at least two of the three clients agree on: how regcred itself reads auth files.
//!
//! A file or an entry is refused where two clients refuse it. A value is what the majority reads. Only
//! kubelet reads an email address and only Docker a registry token, so theirs are taken; kubelet knows
//! no identity tokens, and containers/image wants an `auth` beside one, so Docker's is. A `.dockercfg`
//! is read as kubelet does, because Docker reads none any more.

use super::parse::{AuthFile, Entry, FileFormat};
use super::reading::{Login, ReadError, Reader, Reading, read, read_entry};
use super::secret_bytes::SecretBytes;

/// An entry that the clients agree on.
#[derive(Debug)]
pub struct AgreedEntry<'f> {
    /// Its key.
    pub key: &'f str,
    /// What they would log in with.
    pub login: Login,
}

/// What the clients agree on of a whole file: each key once, in byte order.
///
/// # Errors
/// Why two of them refuse it.
pub fn of_file(file: &AuthFile) -> Result<Vec<AgreedEntry<'_>>, ReadError> {
    let kubelet = read(file, Reader::Kubelet);
    if file.format == FileFormat::Dockercfg {
        return Ok(agreed(kubelet?, |key, login| AgreedEntry { key, login }));
    }
    let containers_image = read(file, Reader::ContainersImage).and_then(refuse_broken_entries);
    let docker = read(file, Reader::Docker);
    let votes = agree([kubelet, containers_image, docker])?;
    Ok(merge(votes))
}

/// What the clients agree on of one entry, also of one that another replaces. A `.dockercfg`'s entries
/// can be asked for, too.
///
/// # Errors
/// Why two of them refuse it.
pub fn of_entry(entry: &Entry) -> Result<Login, ReadError> {
    Ok(majority(agree(
        Reader::ALL.map(|reader| read_entry(entry, reader)),
    )?))
}

fn agreed<'f, T>(reading: Reading<'f>, make: impl Fn(&'f str, Login) -> T) -> Vec<T> {
    let entries = reading.entries.into_iter();
    entries
        .map(|entry| make(entry.key, entry.login()))
        .collect()
}

fn refuse_broken_entries(reading: Reading<'_>) -> Result<Reading<'_>, ReadError> {
    let broken = reading.entries.iter().find_map(|entry| entry.error());
    broken.map_or(Ok(reading), Err)
}

/// The votes of those who accept, in the order of [`Reader::ALL`].
///
/// # Errors
/// The error of a class that two agree on, else the first.
fn agree<T>(votes: [Result<T, ReadError>; 3]) -> Result<[Option<T>; 3], ReadError> {
    let errors: Vec<&ReadError> = votes
        .iter()
        .filter_map(|vote| vote.as_ref().err())
        .collect();
    if errors.len() < 2 {
        return Ok(votes.map(Result::ok));
    }
    let same = |one: &&&ReadError| {
        errors
            .iter()
            .filter(|other| other.class == one.class)
            .count()
            > 1
    };
    let shared = errors.iter().find(same).or(errors.first());
    match shared {
        Some(error) => Err((*error).clone()),
        None => Ok(votes.map(Result::ok)),
    }
}

/// Goes through the readings side by side: those who accept a file have the same keys.
fn merge(votes: [Option<Reading<'_>>; 3]) -> Vec<AgreedEntry<'_>> {
    let mut readings = votes.map(|vote| vote.map(|reading| reading.entries.into_iter()));
    let mut merged = Vec::new();
    loop {
        let mut key = None;
        let logins = readings.each_mut().map(|reading| {
            let entry = reading.as_mut()?.next()?;
            key = Some(entry.key);
            Some(entry.login())
        });
        match key {
            Some(key) => merged.push(AgreedEntry {
                key,
                login: majority(logins),
            }),
            None => return merged,
        }
    }
}

fn majority([kubelet, containers_image, docker]: [Option<Login>; 3]) -> Login {
    let email = kubelet.as_ref().map(|login| login.email.clone());
    let registry_token = docker.as_ref().map(|login| login.registry_token.clone());
    let identity_token = docker.as_ref().or(containers_image.as_ref());
    let identity_token = identity_token.map(|login| login.identity_token.clone());
    let all = [&kubelet, &docker, &containers_image].map(Option::as_ref);
    Login {
        username: most_common(all.map(|login| login.map(|login| &login.username))),
        password: most_common(all.map(|login| login.map(|login| &login.password))),
        email: email.unwrap_or_default(),
        identity_token: identity_token.unwrap_or_default(),
        registry_token: registry_token.unwrap_or_default(),
    }
}

/// The value that two share, else the first there is.
fn most_common(values: [Option<&SecretBytes>; 3]) -> SecretBytes {
    let [first, second, third] = values;
    let last_two_agree = second
        .zip(third)
        .is_some_and(|(one, other)| one.same_as(other));
    let chosen = if last_two_agree {
        second
    } else {
        first.or(second).or(third)
    };
    chosen.cloned().unwrap_or_default()
}
