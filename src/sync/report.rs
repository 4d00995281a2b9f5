//! What came of a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Error;

/// One thing that was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `+` made, `~` changed, `=` left as it is, `-` removed.
    pub sign: char,
    /// To what.
    pub what: String,
    /// What is different, without secrets.
    pub details: Vec<String>,
}

impl Line {
    /// A line without details.
    pub fn new(sign: char, what: impl fmt::Display) -> Self {
        Self {
            sign,
            what: what.to_string(),
            details: Vec::new(),
        }
    }

    /// The same with details.
    #[must_use]
    pub fn with(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// The line as a log takes it: in one.
    pub fn in_one(&self) -> String {
        let details = self.details.join("; ");
        if details.is_empty() {
            format!("{} {}", self.sign, self.what)
        } else {
            format!("{} {} ({details})", self.sign, self.what)
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sign, self.what)?;
        self.details
            .iter()
            .try_for_each(|detail| write!(f, "\n    {detail}"))
    }
}

/// An object that something could not be done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its kind and name, if it is about one object.
    pub object: Option<(&'static str, String)>,
}

/// What could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where; nowhere in particular for what concerns the whole pass.
    pub place: Option<Place>,
    /// Why.
    pub error: Error,
}

/// What came of a part of a pass, or of all of it.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, or would be.
    pub lines: Vec<Line>,
    /// What could not be done; the rest was.
    pub failures: Vec<Failure>,
    /// What nobody looked at, and other things that are no failure and should be known.
    pub remarks: BTreeSet<String>,
    /// Namespaces that were worked on.
    pub worked_on: BTreeSet<String>,
    /// The states that were fetched, by pull secret, to wait for others.
    pub states: BTreeMap<String, String>,
}

impl Report {
    /// Adds what concerns the whole pass.
    pub fn fail(&mut self, error: Error) {
        self.failures.push(Failure { place: None, error });
    }

    /// Adds what concerns one object, or one namespace.
    pub fn fail_at(&mut self, namespace: &str, object: Option<(&'static str, &str)>, error: Error) {
        let place = Place {
            namespace: namespace.to_owned(),
            object: object.map(|(kind, name)| (kind, name.to_owned())),
        };
        self.failures.push(Failure {
            place: Some(place),
            error,
        });
    }

    /// Adds another part.
    pub fn add(&mut self, part: Self) {
        self.lines.extend(part.lines);
        self.failures.extend(part.failures);
        self.remarks.extend(part.remarks);
        self.worked_on.extend(part.worked_on);
        self.states.extend(part.states);
    }

    /// Whether it failed as a whole, so that nothing is known of what shall be or what is.
    pub fn failed_as_a_whole(&self) -> bool {
        self.failures.iter().any(|failure| failure.place.is_none())
    }

    /// Namespaces where something could not be done.
    pub fn failed_namespaces(&self) -> BTreeSet<&str> {
        let places = self
            .failures
            .iter()
            .filter_map(|failure| failure.place.as_ref());
        places.map(|place| place.namespace.as_str()).collect()
    }

    /// Namespaces that were changed by others while they were worked on: they are worth another look at once.
    pub fn changed_meanwhile(&self) -> BTreeSet<String> {
        let meanwhile = |failure: &&Failure| matches!(failure.error, Error::Meanwhile { .. });
        let places = self.failures.iter().filter(meanwhile);
        places
            .filter_map(|failure| Some(failure.place.as_ref()?.namespace.clone()))
            .collect()
    }
}
