//! Which sync it is: the key under which it claims what it made.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::model::pull_secret::SYNC_PREFIX;

/// What the field managers of all syncs begin with. Which of them may change an object, its claims tell.
const FIELD_MANAGER: &str = "regcred-sync-";

/// Longest name of a label, its prefix aside (apimachinery's `validation` package).
const LONGEST: usize = 63;

/// The identity of a sync in the cluster: its tenant and its name. Two syncs of one tenant and name take each other's
/// objects for their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// An owner of a chosen name: it stays the same when the arguments change, and so cleans up after itself.
    pub fn named(tenant: &Name, name: &Name) -> Self {
        let whole = format!("{tenant}.{name}");
        if whole.len() <= LONGEST {
            return Self(format!("{SYNC_PREFIX}{whole}"));
        }
        let start = |name: &Name| name.as_str().chars().take(20).collect::<String>();
        let (tenant, name) = (start(tenant), start(name));
        // Names hold no dot, so this is the form of no short one.
        Self(format!("{SYNC_PREFIX}{tenant}.{name}.{}", hex(&whole, 10)))
    }

    /// An owner that is the same for the same arguments, in any order, and another for others.
    ///
    /// # Errors
    /// None in practice; the digest is a valid name.
    pub fn of_arguments(
        tenant: &Name,
        pull_secrets: &[String],
        namespaces: &[String],
    ) -> Result<Self, Fault> {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list.dedup();
            list.join("\n")
        };
        let text = format!(
            "{tenant}\n\n{}\n\n{}",
            sorted(pull_secrets),
            sorted(namespaces)
        );
        Name::parse(&hex(&text, 5)).map(|name| Self::named(tenant, &name))
    }

    /// The field manager of server-side apply.
    pub fn field_manager(&self) -> String {
        format!("{FIELD_MANAGER}{}", shown(&self.0))
    }

    /// The key of its claims.
    pub fn key(&self) -> &str {
        &self.0
    }
}

/// Whether this is the field manager of some sync.
pub fn is_field_manager(name: &str) -> bool {
    name.starts_with(FIELD_MANAGER)
}

/// Whether this key is that of some sync's claims.
pub fn is_owner_key(key: &str) -> bool {
    key.starts_with(SYNC_PREFIX)
}

/// A sync as people read it: `TENANT.NAME`.
pub fn shown(key: &str) -> &str {
    key.strip_prefix(SYNC_PREFIX).unwrap_or(key)
}

/// The first bytes of a text's SHA-256, in hexadecimal.
pub(super) fn hex(text: &str, bytes: usize) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref()[..bytes]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn owner(pull_secrets: &[&str], namespaces: &[&str]) -> Owner {
        Owner::of_arguments(&name("t"), &list(pull_secrets), &list(namespaces)).expect("valid")
    }

    #[test]
    fn the_order_of_arguments_does_not_matter() {
        assert_eq!(
            owner(&["a", "b"], &["x", "y"]),
            owner(&["b", "a"], &["y", "x", "x"])
        );
    }

    #[test]
    fn other_arguments_are_another_owner() {
        let all = [
            owner(&["a"], &["x"]),
            owner(&["a"], &["y"]),
            owner(&["b"], &["x"]),
            owner(&["a", "x"], &[]),
            owner(&["a"], &[]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{one:?}");
        }
    }

    #[test]
    fn a_name_is_of_its_tenant_and_fits_into_a_label() {
        let (long, longer) = ("t".repeat(63), format!("{}x", "t".repeat(62)));
        let all = [
            Owner::named(&name("a"), &name("ci")),
            Owner::named(&name("b"), &name("ci")),
            Owner::named(&name(&long), &name("ci")),
            Owner::named(&name(&longer), &name("ci")),
            Owner::named(&name("ci"), &name(&long)),
        ];
        assert_eq!(all[0].key(), "sync.regcred/a.ci");
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{one:?}");
            assert!(shown(one.key()).len() <= LONGEST, "{one:?}");
        }
    }
}
