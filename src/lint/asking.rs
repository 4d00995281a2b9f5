//! Asking every client. Nothing that a finding says of a client is known here: it is what the client's
//! own rules ([`crate::auth_file::explain`]) answer for a small file.

use std::collections::HashMap;

use crate::auth_file::explain::{CLIENTS, Choice, Client, Effective, Failure, Parsed, Question};
use crate::auth_file::parse::{AuthFile, Entry, FileFormat};

/// A key that every client uses, for what is asked of an entry and not of its key.
pub(super) const NEUTRAL: &str = "registry.example.com";
/// An image that it is used for.
const NEUTRAL_IMAGE: &str = "registry.example.com/team/app";

/// The names of all clients, in their order.
pub fn everybody() -> Vec<&'static str> {
    CLIENTS.iter().map(|client| client.name()).collect()
}

/// What a client does for an image.
pub(super) fn outcome(client: &dyn Client, file: &Parsed, image: &str) -> Result<Choice, Failure> {
    let question = Question {
        file,
        image,
        realm: None,
    };
    client.explain(&question).outcome
}

/// Whether a client tries a key for an image.
pub(super) fn uses(client: &dyn Client, file: &Parsed, image: &str, key: &str) -> bool {
    outcome(client, file, image)
        .is_ok_and(|choice| choice.matches.iter().any(|found| found.key == key))
}

/// What each client does for the image of the neutral key.
pub(super) fn neutral_outcomes(
    file: &Parsed,
) -> impl Iterator<Item = (&'static str, Result<Choice, Failure>)> {
    let clients = CLIENTS.iter().copied();
    clients.map(|client| (client.name(), outcome(client, file, NEUTRAL_IMAGE)))
}

/// A file with one entry, under the neutral key.
pub(super) fn alone(entry: &Entry, layout: FileFormat) -> Parsed {
    Ok(AuthFile::of_entries(layout, vec![entry.under(NEUTRAL)]))
}

/// Those who read files of a layout at all.
pub(super) fn readers(layout: FileFormat) -> Vec<&'static dyn Client> {
    let reads = |client: &&dyn Client| client.reads(layout);
    CLIENTS.into_iter().filter(reads).collect()
}

/// The names of [`readers`].
pub(super) fn reader_names(layout: FileFormat) -> Vec<&'static str> {
    readers(layout).iter().map(|client| client.name()).collect()
}

/// A field of an entry that tells who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Auth,
    Plain,
    IdentityToken,
    RegistryToken,
}

/// What a client logs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Account,
    IdentityToken,
    RegistryToken,
    Nothing,
}

/// What each client logs in with.
type Kinds = Vec<(&'static str, Kind)>;

/// What each client makes of entries with some of the fields; asked once for each set of fields.
#[derive(Default)]
pub(super) struct Fields {
    known: HashMap<(Vec<Field>, bool), Kinds>,
}

impl Fields {
    /// Those who log in with something of another kind, or with nothing, where these fields are given.
    pub(super) fn those(
        &mut self,
        fields: &[Field],
        layout: FileFormat,
        holds: impl Fn(Kind) -> bool,
    ) -> Vec<&'static str> {
        let flat = layout == FileFormat::Dockercfg;
        let kinds = self
            .known
            .entry((fields.to_vec(), flat))
            .or_insert_with(|| kinds(fields, layout));
        let those = kinds.iter().filter(|(_, kind)| holds(*kind));
        those.map(|(client, _)| *client).collect()
    }
}

fn kinds(fields: &[Field], layout: FileFormat) -> Kinds {
    let readers = reader_names(layout);
    let file = of_fields(fields, layout);
    let asked = neutral_outcomes(&file).filter(|(client, _)| readers.contains(client));
    asked
        .map(|(client, outcome)| {
            (
                client,
                outcome.map_or(Kind::Nothing, |choice| kind(&choice)),
            )
        })
        .collect()
}

fn kind(choice: &Choice) -> Kind {
    match choice.effective {
        Effective::Basic(_) | Effective::Helper(_) => Kind::Account,
        Effective::IdentityToken(_) => Kind::IdentityToken,
        Effective::RegistryToken(_) => Kind::RegistryToken,
        Effective::Anonymous | Effective::None => Kind::Nothing,
    }
}

/// A file with one entry that has these fields.
fn of_fields(fields: &[Field], layout: FileFormat) -> Parsed {
    let mut entry = serde_json::Map::new();
    for field in fields {
        let (names, text): (&[&str], _) = match field {
            Field::Auth => (&["auth"], "dTpw"),
            Field::Plain => (&["username", "password"], "x"),
            Field::IdentityToken => (&["identitytoken"], "t"),
            Field::RegistryToken => (&["registrytoken"], "t"),
        };
        entry.extend(names.iter().map(|name| ((*name).to_owned(), text.into())));
    }
    let entries = serde_json::json!({NEUTRAL: entry});
    let text = match layout {
        FileFormat::Config => serde_json::json!({"auths": entries}),
        FileFormat::Dockercfg => entries,
    };
    AuthFile::parse(text.to_string().as_bytes(), layout)
}
