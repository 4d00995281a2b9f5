//! Who made an object: the label, the annotation and the field manager of one sync.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::mistake::Fault;
use crate::model::name::Name;

const PREFIX: &str = "sync.regcred/";

/// The identity of a sync in the cluster. Two syncs of one name take each other's objects for their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(Name);

impl Owner {
    /// An owner of a chosen name: it stays the same when the arguments change, and so cleans up after itself.
    pub fn named(name: Name) -> Self {
        Self(name)
    }

    /// An owner that is the same for the same arguments, in any order, and another for others.
    ///
    /// # Errors
    /// None in practice; the digest is a valid name.
    pub fn of_arguments(
        tenant: &str,
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
        let digest = digest(&SHA256, text.as_bytes());
        let hex: String = digest.as_ref()[..5]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Name::parse(&hex).map(Self)
    }

    /// The key of the label on Secrets and RoleBindings, and of the annotation on service accounts.
    pub fn key(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// The field manager of server-side apply.
    pub fn field_manager(&self) -> String {
        format!("regcred-sync-{}", self.0)
    }

    /// Whether this key is that of some sync's label.
    pub fn is_owner_key(key: &str) -> bool {
        key.starts_with(PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn owner(pull_secrets: &[&str], namespaces: &[&str]) -> Owner {
        Owner::of_arguments("t", &list(pull_secrets), &list(namespaces)).expect("a valid name")
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
}
