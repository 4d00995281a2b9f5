//! What a write demands of the state it meets.

use super::{Error, Result};

/// The condition of a write (RFC 9110, section 13.1). Both headers may be given; both must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// `If-Match`.
    pub must_match: Option<VersionSet>,
    /// `If-None-Match`.
    pub must_not_match: Option<VersionSet>,
}

/// Versions that an entity tag list names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSet {
    /// `*`: any version at all.
    Any,
    /// These versions; a tag that is no version of ours is in none.
    Of(Vec<i64>),
}

impl VersionSet {
    fn holds(&self, current: Option<i64>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Of(versions), Some(current)) => versions.contains(&current),
        }
    }
}

impl Precondition {
    /// Checks the condition against the current version, `None` if there is nothing yet.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn check(&self, current: Option<i64>) -> Result<()> {
        if self
            .must_match
            .as_ref()
            .is_some_and(|set| !set.holds(current))
        {
            return Err(Error::PreconditionFailed(
                "If-Match names another version than the current one",
            ));
        }
        if self
            .must_not_match
            .as_ref()
            .is_some_and(|set| set.holds(current))
        {
            return Err(Error::PreconditionFailed(
                "If-None-Match names the current version",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(precondition: &Precondition, current: Option<i64>) -> bool {
        precondition.check(current).is_ok()
    }

    #[test]
    fn if_match_needs_the_current_version() {
        let three = Precondition {
            must_match: Some(VersionSet::Of(vec![3])),
            ..Default::default()
        };
        assert!(holds(&three, Some(3)));
        assert!(!holds(&three, Some(4)));
        assert!(!holds(&three, None));
        let any = Precondition {
            must_match: Some(VersionSet::Any),
            ..Default::default()
        };
        assert!(holds(&any, Some(1)));
        assert!(!holds(&any, None));
    }

    #[test]
    fn if_none_match_creates_only() {
        let create = Precondition {
            must_not_match: Some(VersionSet::Any),
            ..Default::default()
        };
        assert!(holds(&create, None));
        assert!(!holds(&create, Some(1)));
    }
}
