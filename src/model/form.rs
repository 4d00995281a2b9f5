//! Reads a JSON object field by field and collects every mistake on the way.
//!
//! serde stops at the first mistake; a form with five of them would take five tries. What the fields of a
//! body are is declared with [`body!`](crate::model::body!); this is what the declarations read with.

use std::collections::HashSet;

use super::body::Wire;
use super::json::Json;
use super::mistake::{Fault, Mistakes};
use super::secret::SecretText;

/// A place of what is read, and the mistakes found so far.
#[derive(Debug, Default)]
pub struct At {
    pointer: String,
    source: Source,
    mistakes: Mistakes,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// A JSON body.
    #[default]
    Body,
    /// The query of a URL: every value is a text, and a list is a parameter given several times.
    Query,
}

/// A JSON object being read. Each field is taken once; [`Form::finish`] reports what is left over.
#[derive(Debug)]
pub struct Form {
    at: At,
    is_object: bool,
    members: Vec<(String, Json)>,
    /// Names of the fields that were there and not `null`.
    given: HashSet<String>,
}

/// What a request says of a stored secret.
#[derive(Debug, Clone)]
pub enum SecretField {
    /// Not named.
    Absent,
    /// Named as `null`.
    Null,
    /// Stored, and left as it is by a patch.
    Kept,
    /// Given anew.
    Given(SecretText),
    /// Given as something that is no secret; the mistake is reported.
    Invalid,
}

impl At {
    /// The root of what is read.
    pub fn root(source: Source) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

    /// Where the values come from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Notes a mistake here.
    pub fn report(&mut self, fault: Fault) {
        let mistake = match self.source {
            Source::Body => fault.at(self.pointer.as_str()),
            // There are no lists in lists here: the parameter is the first step.
            Source::Query => fault.of_parameter(self.pointer.split('/').nth(1).unwrap_or_default()),
        };
        self.mistakes.push(mistake);
    }

    /// Gives a value, or notes what is wrong with it.
    pub fn take<T>(&mut self, value: Result<T, Fault>) -> Option<T> {
        value.map_err(|fault| self.report(fault)).ok()
    }

    /// Reads a member or an item one step down. RFC 6901 escapes `~` and `/` in its name.
    pub fn inside<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer
            .push_str(&step.replace('~', "~0").replace('/', "~1"));
        let value = read(self);
        self.pointer.truncate(length);
        value
    }

    /// How many mistakes there are.
    fn count(&self) -> usize {
        self.mistakes.len() + self.mistakes.more()
    }
}

impl Form {
    /// Starts reading a body.
    pub fn new(document: Json) -> Self {
        Self::at(document, At::default())
    }

    /// Starts reading `document` as an object that stands at a place.
    pub fn at(document: Json, at: At) -> Self {
        let mut form = Self {
            at,
            is_object: matches!(document, Json::Object(_)),
            members: Vec::new(),
            given: HashSet::new(),
        };
        match document {
            Json::Object(members) => form.keep_first_of_each(members),
            other => form.at.report(wrong_type("an object", &other)),
        }
        form
    }

    fn keep_first_of_each(&mut self, members: Vec<(String, Json)>) {
        let mut seen = HashSet::with_capacity(members.len());
        for (name, value) in members {
            if !seen.insert(name.clone()) {
                self.report_named(
                    &name,
                    Fault::new("duplicate-field", "this field is given twice"),
                );
                continue;
            }
            self.note_given(&name, &value);
            self.members.push((name, value));
        }
    }

    fn note_given(&mut self, name: &str, value: &Json) {
        if let Json::Object(members) = value {
            let given = members
                .iter()
                .filter(|(_, value)| !matches!(value, Json::Null | Json::Removed));
            let paths = given.map(|(inner, _)| format!("{name}/{inner}"));
            self.given.extend(paths);
        }
        if !matches!(value, Json::Null | Json::Removed) {
            self.given.insert(name.to_owned());
        }
    }

    /// Whether the field was there and not `null`; `outer/inner` for one of an object in it.
    pub fn has(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// Takes a field that must be there.
    pub fn required<W: Wire + ?Sized>(&mut self, name: &str) -> Option<W::Value> {
        if !self.has(name) {
            self.pull(name);
            // What is no object has one mistake, not one for each field it lacks.
            if self.is_object {
                self.report_named(name, Fault::new("required", "this field is required"));
            }
            return None;
        }
        self.optional::<W>(name)
    }

    /// Takes a field that may be missing or `null`. One with a mistake inside gives nothing, so that what
    /// is said of the rest speaks of the values as sent.
    pub fn optional<W: Wire + ?Sized>(&mut self, name: &str) -> Option<W::Value> {
        match self.pull(name)? {
            Json::Null => None,
            value => {
                let before = self.at.count();
                let read = self.at.inside(name, |at| W::read(value, at));
                read.filter(|_| self.at.count() == before)
            }
        }
    }

    /// Takes an object that may be missing or `null`, with what could be read of it beside its mistakes.
    pub fn partial<W: Wire + ?Sized>(&mut self, name: &str) -> Option<W::Value> {
        match self.pull(name)? {
            Json::Null => None,
            value => self.at.inside(name, |at| W::read(value, at)),
        }
    }

    /// Takes a secret, telling a missing one from `null` and from a kept one.
    pub fn secret<W: Wire<Value = SecretText> + ?Sized>(&mut self, name: &str) -> SecretField {
        match self.pull(name) {
            None if !self.is_object => SecretField::Invalid,
            None => SecretField::Absent,
            Some(Json::Null) => SecretField::Null,
            Some(Json::Kept) => SecretField::Kept,
            Some(value) => match self.at.inside(name, |at| W::read(value, at)) {
                Some(secret) => SecretField::Given(secret),
                None => SecretField::Invalid,
            },
        }
    }

    /// Notes a mistake at a field; `outer/inner` for one of an object in it. For names that are declared.
    pub fn report(&mut self, field: &'static str, fault: Fault) {
        match field.split_once('/') {
            Some((outer, inner)) => {
                let report = |at: &mut At| at.inside(inner, |at| at.report(fault));
                self.at.inside(outer, report);
            }
            None => self.report_named(field, fault),
        }
    }

    /// Notes a mistake at a member of an object whose names are data.
    pub fn report_member(&mut self, field: &'static str, member: &str, fault: Fault) {
        let report = |at: &mut At| at.inside(member, |at| at.report(fault));
        self.at.inside(field, report);
    }

    /// Notes a mistake at a member by the name that was sent.
    fn report_named(&mut self, name: &str, fault: Fault) {
        self.at.inside(name, |at| at.report(fault));
    }

    /// Whether what is read is an object at all.
    pub fn is_object(&self) -> bool {
        self.is_object
    }

    /// Ends the reading: every field that nobody took is unknown.
    ///
    /// # Errors
    /// All mistakes, in the order found.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Mistakes> {
        let mistakes = self.end().mistakes;
        match value {
            Some(value) if mistakes.is_empty() => Ok(value),
            _ => Err(mistakes),
        }
    }

    /// Ends the reading of an inner object, and gives the place back.
    pub fn end(mut self) -> At {
        let detail = match self.at.source {
            Source::Body => "there is no such field here",
            Source::Query => "there is no such parameter here",
        };
        for (name, _) in std::mem::take(&mut self.members) {
            self.report_named(&name, Fault::new("unknown-field", detail));
        }
        self.at
    }

    fn pull(&mut self, name: &str) -> Option<Json> {
        let at = self.members.iter().position(|(known, _)| known == name)?;
        let value = self.members.remove(at).1;
        Some(match value {
            Json::Removed => Json::Null,
            value => value,
        })
    }
}

/// The fault of a value of another type.
pub fn wrong_type(expected: &str, found: &Json) -> Fault {
    Fault::new(
        "wrong-type",
        format!("expected {expected}, found {}", found.kind()),
    )
}

/// Reads a string.
///
/// # Errors
/// `wrong-type` for any other value.
pub fn text(value: Json) -> Result<String, Fault> {
    match value {
        Json::Text(text) => Ok(text.to_string()),
        other => Err(wrong_type("a string", &other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::body::{List, Secret, Text, Whole};
    use crate::model::mistake::Mistake;

    type Any = Text<0, 100>;

    fn form(document: &str) -> Form {
        Form::new(Json::parse(document.as_bytes()).expect("the test's document parses"))
    }

    fn found(result: Result<(), Mistakes>) -> Vec<(String, &'static str)> {
        let mistakes = result.expect_err("the form has mistakes");
        let place = |mistake: Mistake| (mistake.place().to_owned(), mistake.code);
        mistakes.into_iter().map(place).collect()
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut form = form(r#"{"a":1,"b":"x","l":["x",2],"n":1.5,"a":3,"z/~":0}"#);
        form.required::<Any>("a");
        form.required::<bool>("b");
        form.required::<Any>("missing");
        form.optional::<List<Any, 0, 9>>("l");
        form.optional::<Whole<1, 9>>("n");
        assert_eq!(
            found(form.finish(Some(()))),
            [
                ("/a".to_owned(), "duplicate-field"),
                ("/a".to_owned(), "wrong-type"),
                ("/b".to_owned(), "wrong-type"),
                ("/missing".to_owned(), "required"),
                ("/l/1".to_owned(), "wrong-type"),
                ("/n".to_owned(), "out-of-range"),
                ("/z~1~0".to_owned(), "unknown-field"),
            ]
        );
    }

    #[test]
    fn a_document_that_is_no_object_has_one_mistake() {
        let mut form = form("[]");
        form.required::<Any>("a");
        assert_eq!(
            found(form.finish(Some(()))),
            [(String::new(), "wrong-type")]
        );
    }

    #[test]
    fn a_secret_tells_absent_from_null() {
        let mut form = form(r#"{"given":"x","null":null}"#);
        assert!(matches!(
            form.secret::<Secret>("given"),
            SecretField::Given(_)
        ));
        assert!(matches!(form.secret::<Secret>("null"), SecretField::Null));
        assert!(matches!(
            form.secret::<Secret>("absent"),
            SecretField::Absent
        ));
    }
}
