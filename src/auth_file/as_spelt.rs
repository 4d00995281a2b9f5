//! What a reader sees of a file that knows names only as they are spelt, and of a name given twice only the
//! last: `AUTHS` is nothing to it, and a second `auths` takes the place of the first. oras-go reads so.

use std::collections::BTreeMap;
use std::ops::Range;

use super::document::{Kind, Value};
use super::field;
use super::parse::{AUTHS, Misfit, misfit};
use super::reading::Reader;

/// The fields that matter to a look-up, each as its last mention leaves it.
#[derive(Debug, Clone, Default)]
pub(super) struct AsSpelt {
    /// Which of the file's entries stand under `auths`; of a key given twice the last counts.
    pub entries: Range<usize>,
    /// Registries and the credential helper of each.
    pub cred_helpers: BTreeMap<String, String>,
    /// The credential helper of all others; empty where none is named.
    pub creds_store: String,
    /// What is of a wrong type, by the field that it is in.
    misfits: [Option<Misfit>; 3],
}

impl AsSpelt {
    /// The same with other entries.
    pub(super) fn with_entries(self, entries: Range<usize>) -> Self {
        Self { entries, ..self }
    }

    /// Takes a field of the file; `entries` are those that were read from it.
    pub(super) fn take(&mut self, name: &str, value: Value<'_, '_>, entries: Range<usize>) {
        match name {
            AUTHS => {
                self.entries = entries;
                let fits = matches!(value.kind(), Kind::Object | Kind::Null);
                let wrong = || Misfit::no_object(value, AUTHS, &[Reader::Oras]);
                self.misfits[0] = (!fits).then(wrong);
            }
            "credHelpers" => {
                let members = value.members().map(|(registry, helper)| {
                    let text = |value: Value<'_, '_>| value.text().unwrap_or_default().to_string();
                    (text(registry), text(helper))
                });
                self.cred_helpers = members.collect();
                self.misfits[1] = misfit(&field::CRED_HELPERS, value);
            }
            "credsStore" => {
                self.creds_store = value.text().unwrap_or_default().to_string();
                self.misfits[2] = misfit(&field::CREDS_STORE, value);
            }
            _ => {}
        }
    }

    /// The first value of a wrong type.
    pub(super) fn misfit(&self) -> Option<&Misfit> {
        let there = self.misfits.iter().flatten();
        there.min_by_key(|misfit| misfit.place)
    }
}
