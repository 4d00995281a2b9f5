//! What is wrong with a value, and where.

use serde::Serialize;
use utoipa::ToSchema;

/// Most mistakes that one answer lists.
const MOST_LISTED: usize = 100;

/// One thing wrong with a request, and where: at a place of the body, or of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mistake {
    /// JSON pointer (RFC 6901) into the body; left out for a parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "/registry")]
    pub pointer: Option<String>,
    /// Name of a query parameter or of a header; `name` for the last name in the path. Left out for the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "limit")]
    pub parameter: Option<String>,
    /// Stable word for the kind of mistake.
    #[schema(example = "invalid-registry")]
    pub code: &'static str,
    /// What is wrong and what would be right, in a sentence. Never holds a secret.
    pub detail: String,
}

/// What is wrong with one value, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable word for the kind of mistake.
    pub code: &'static str,
    /// What is wrong and what would be right, in a sentence. Never holds a secret.
    pub detail: String,
}

/// All mistakes of a request: the first 100, and how many more there are. A body of 1 MiB can hold half a million.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes {
    listed: Vec<Mistake>,
    more: usize,
}

impl Fault {
    /// A fault with its code and its sentence.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// The fault at a place of the body.
    pub fn at(self, pointer: impl Into<String>) -> Mistake {
        Mistake {
            pointer: Some(pointer.into()),
            parameter: None,
            code: self.code,
            detail: self.detail,
        }
    }

    /// The fault of a query parameter, of a header or of a name in the path.
    pub fn of_parameter(self, name: impl Into<String>) -> Mistake {
        Mistake {
            pointer: None,
            parameter: Some(name.into()),
            code: self.code,
            detail: self.detail,
        }
    }
}

impl Mistake {
    /// Where it is: the pointer, or the parameter's name.
    pub fn place(&self) -> &str {
        let place = self.pointer.as_ref().or(self.parameter.as_ref());
        place.map_or("", String::as_str)
    }

    /// The mistake in a line: its place, if it has one, and what is wrong.
    pub fn line(&self) -> String {
        match self.place() {
            "" => self.detail.clone(),
            place => format!("{place}: {}", self.detail),
        }
    }
}

impl Mistakes {
    /// Adds one.
    pub fn push(&mut self, mistake: Mistake) {
        if self.listed.len() < MOST_LISTED {
            self.listed.push(mistake);
        } else {
            self.more += 1;
        }
    }

    /// Adds those of another part of the request.
    pub fn append(&mut self, other: Self) {
        self.extend(other.listed);
        self.more += other.more;
    }

    /// The same, those at `/name` told of the parameter, for each of these names.
    #[must_use]
    pub fn of_parameters(mut self, names: &[&str]) -> Self {
        for mistake in &mut self.listed {
            let member = mistake
                .pointer
                .as_deref()
                .and_then(|at| at.strip_prefix('/'));
            if let Some(name) = names.iter().find(|name| member == Some(**name)) {
                mistake.pointer = None;
                mistake.parameter = Some((*name).to_owned());
            }
        }
        self
    }

    /// How many there are beside those listed.
    pub fn more(&self) -> usize {
        self.more
    }

    /// `Err` if there are any.
    ///
    /// # Errors
    /// Themselves.
    pub fn none_or_err(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl std::ops::Deref for Mistakes {
    type Target = [Mistake];

    fn deref(&self) -> &[Mistake] {
        &self.listed
    }
}

impl Extend<Mistake> for Mistakes {
    fn extend<T: IntoIterator<Item = Mistake>>(&mut self, mistakes: T) {
        for mistake in mistakes {
            self.push(mistake);
        }
    }
}

impl FromIterator<Mistake> for Mistakes {
    fn from_iter<T: IntoIterator<Item = Mistake>>(mistakes: T) -> Self {
        let mut all = Self::default();
        all.extend(mistakes);
        all
    }
}

impl From<Vec<Mistake>> for Mistakes {
    fn from(mistakes: Vec<Mistake>) -> Self {
        mistakes.into_iter().collect()
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        [mistake].into_iter().collect()
    }
}

impl IntoIterator for Mistakes {
    type Item = Mistake;
    type IntoIter = std::vec::IntoIter<Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.listed.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_are_listed_and_the_rest_is_counted() {
        let one = || Fault::new("required", "").at("/a");
        let mut all: Mistakes = (0..150).map(|_| one()).collect();
        all.append((0..120).map(|_| one()).collect());
        assert_eq!((all.len(), all.more()), (100, 170));
    }
}
