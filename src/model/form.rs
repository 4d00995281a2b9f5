//! Reads a JSON object field by field and collects every mistake on the way.
//!
//! serde stops at the first mistake; a form with five of them would take five tries.

use std::collections::HashSet;

use super::json::Json;
use super::mistake::{Fault, Mistake};
use super::secret::SecretText;

/// A JSON object being read. Each field is taken once; [`Form::finish`] reports what is left over.
#[derive(Debug)]
pub struct Form {
    pointer: String,
    is_object: bool,
    members: Vec<(String, Json)>,
    mistakes: Vec<Mistake>,
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

impl Form {
    /// Starts reading `document` as an object that stands at `pointer`.
    pub fn new(document: Json, pointer: impl Into<String>) -> Self {
        let mut form = Self {
            pointer: pointer.into(),
            is_object: matches!(document, Json::Object(_)),
            members: Vec::new(),
            mistakes: Vec::new(),
        };
        match document {
            Json::Object(members) => form.keep_first_of_each(members),
            other => {
                let fault = wrong_type("an object", &other);
                form.mistakes.push(fault.at(form.pointer.clone()));
            }
        }
        form
    }

    fn keep_first_of_each(&mut self, members: Vec<(String, Json)>) {
        let mut seen = HashSet::with_capacity(members.len());
        for (name, value) in members {
            if !seen.insert(name.clone()) {
                let fault = Fault::new("duplicate-field", "this field is given twice");
                self.report(&name, fault);
            } else {
                self.members.push((name, value));
            }
        }
    }

    /// Whether the field is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.members
            .iter()
            .any(|(known, value)| known == name && !matches!(value, Json::Null))
    }

    /// Takes a field that must be there.
    pub fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Json) -> Result<T, Fault>,
    ) -> Option<T> {
        if !self.has(name) {
            self.take(name);
            if self.is_object {
                self.report(name, Fault::new("required", "this field is required"));
            }
            return None;
        }
        self.optional(name, read)
    }

    /// Takes a field that may be missing or `null`.
    pub fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Json) -> Result<T, Fault>,
    ) -> Option<T> {
        match self.take(name)? {
            Json::Null => None,
            value => match read(value) {
                Ok(value) => Some(value),
                Err(fault) => {
                    self.report(name, fault);
                    None
                }
            },
        }
    }

    /// Takes a field that is an object of its own, read by `read`.
    pub fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Form) -> Option<T>,
    ) -> Option<T> {
        match self.take(name)? {
            Json::Null => None,
            value => {
                let mut inner = Form::new(value, self.pointer_to(name));
                let result = read(&mut inner);
                let clean = inner.mistakes.is_empty();
                self.mistakes.extend(inner.into_mistakes());
                result.filter(|_| clean)
            }
        }
    }

    /// Takes a list; each item is read on its own, so that every bad one is reported. A list with a bad
    /// item gives nothing, so that what is said of the rest speaks of the items as sent.
    pub fn list<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(Json) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        let items = match self.take(name)? {
            Json::Null => return None,
            Json::List(items) => items,
            other => {
                self.report(name, wrong_type("an array", &other));
                return None;
            }
        };
        let count = items.len();
        let mut values = Vec::with_capacity(count);
        for (index, item) in items.into_iter().enumerate() {
            match read(item) {
                Ok(value) => values.push(value),
                Err(fault) => self.report_item(name, index, fault),
            }
        }
        Some(values).filter(|values| values.len() == count)
    }

    /// Takes an object whose names are data; each member is read on its own.
    pub fn map<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&str, Json) -> Result<T, Fault>,
    ) -> Option<std::collections::BTreeMap<String, T>> {
        let mut inner = match self.take(name)? {
            Json::Null => return None,
            value => Form::new(value, self.pointer_to(name)),
        };
        let mut values = std::collections::BTreeMap::new();
        for (key, value) in std::mem::take(&mut inner.members) {
            match read(&key, value) {
                Ok(value) => {
                    values.insert(key, value);
                }
                Err(fault) => inner.report(&key, fault),
            }
        }
        self.mistakes.append(&mut inner.mistakes);
        Some(values)
    }

    /// Takes a secret, telling a missing one from `null` and from a kept one.
    pub fn secret(
        &mut self,
        name: &str,
        check: impl FnOnce(&SecretText) -> Result<(), Fault>,
    ) -> SecretField {
        match self.take(name) {
            // What is no object has one mistake, not one for each field it lacks.
            None if !self.is_object => SecretField::Invalid,
            None => SecretField::Absent,
            Some(Json::Null) => SecretField::Null,
            Some(Json::Kept) => SecretField::Kept,
            Some(Json::Text(text)) => {
                let secret = SecretText::new(text.to_string());
                if let Err(fault) = check(&secret) {
                    self.report(name, fault);
                }
                SecretField::Given(secret)
            }
            Some(other) => {
                self.report(name, wrong_type("a string", &other));
                SecretField::Invalid
            }
        }
    }

    /// Notes a mistake at an item of a list.
    pub fn report_item(&mut self, name: &str, index: usize, fault: Fault) {
        let pointer = format!("{}/{index}", self.pointer_to(name));
        self.mistakes.push(fault.at(pointer));
    }

    /// Notes a mistake at a member of an object whose names are data.
    pub fn report_member(&mut self, name: &str, member: &str, fault: Fault) {
        let pointer = format!("{}/{}", self.pointer_to(name), escaped(member));
        self.mistakes.push(fault.at(pointer));
    }

    /// Notes a mistake at a field.
    pub fn report(&mut self, name: &str, fault: Fault) {
        let pointer = self.pointer_to(name);
        self.mistakes.push(fault.at(pointer));
    }

    /// Ends the reading: every field that nobody took is unknown.
    ///
    /// # Errors
    /// All mistakes, in the order found.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<Mistake>> {
        self.report_unknown();
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(self.mistakes),
        }
    }

    fn into_mistakes(mut self) -> Vec<Mistake> {
        self.report_unknown();
        self.mistakes
    }

    fn report_unknown(&mut self) {
        for (name, _) in std::mem::take(&mut self.members) {
            let fault = Fault::new("unknown-field", "there is no such field here");
            self.report(&name, fault);
        }
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.members.iter().position(|(known, _)| known == name)?;
        Some(self.members.remove(at).1)
    }

    /// The pointer to a field; RFC 6901 escapes `~` and `/` in its name.
    fn pointer_to(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escaped(name))
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
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

/// Reads a string of at most `most` bytes.
pub fn text_up_to(most: usize) -> impl Fn(Json) -> Result<String, Fault> {
    move |value| {
        let text = text(value)?;
        if text.len() > most {
            return Err(Fault::new("too-long", format!("at most {most} bytes")));
        }
        Ok(text)
    }
}

/// Reads a boolean.
///
/// # Errors
/// `wrong-type` for any other value.
pub fn boolean(value: Json) -> Result<bool, Fault> {
    match value {
        Json::Bool(value) => Ok(value),
        other => Err(wrong_type("true or false", &other)),
    }
}

/// Reads a whole number that is not negative.
///
/// # Errors
/// `wrong-type` for any other value.
pub fn whole_number(value: Json) -> Result<u64, Fault> {
    match &value {
        Json::Number(number) if number.is_u64() => Ok(number.as_u64().unwrap_or_default()),
        Json::Number(_) => Err(Fault::new(
            "out-of-range",
            "expected a whole number, zero or more",
        )),
        other => Err(wrong_type("a whole number", other)),
    }
}

/// Reads a point in time, RFC 3339.
///
/// # Errors
/// `wrong-type` for no string, `invalid-time` for another form.
pub fn time(value: Json) -> Result<time::OffsetDateTime, Fault> {
    let text = text(value)?;
    super::time::parse(&text)
}

/// Reads a string by a type's own rule.
pub fn parsed<T>(
    parse: impl FnOnce(&str) -> Result<T, Fault>,
) -> impl FnOnce(Json) -> Result<T, Fault> {
    move |value| parse(&text(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(document: &str) -> Form {
        Form::new(
            Json::parse(document.as_bytes()).expect("the test's document parses"),
            "",
        )
    }

    fn found(result: Result<(), Vec<Mistake>>) -> Vec<(String, &'static str)> {
        let mistakes = result.expect_err("the form has mistakes");
        mistakes.into_iter().map(|m| (m.pointer, m.code)).collect()
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut form = form(r#"{"a":1,"b":"x","c":{"d":true,"e":0},"l":["x",2],"a":3,"z/~":0}"#);
        form.required("a", text);
        form.required("b", boolean);
        form.required("missing", text);
        form.object("c", |inner| inner.required("d", text));
        form.list("l", text);
        assert_eq!(
            found(form.finish(Some(()))),
            [
                ("/a".to_owned(), "duplicate-field"),
                ("/a".to_owned(), "wrong-type"),
                ("/b".to_owned(), "wrong-type"),
                ("/missing".to_owned(), "required"),
                ("/c/d".to_owned(), "wrong-type"),
                ("/c/e".to_owned(), "unknown-field"),
                ("/l/1".to_owned(), "wrong-type"),
                ("/z~1~0".to_owned(), "unknown-field"),
            ]
        );
    }

    #[test]
    fn a_document_that_is_no_object_has_one_mistake() {
        let mut form = form("[]");
        form.required("a", text);
        assert_eq!(
            found(form.finish(Some(()))),
            [(String::new(), "wrong-type")]
        );
    }

    #[test]
    fn a_secret_tells_absent_from_null() {
        let mut form = form(r#"{"given":"x","null":null}"#);
        let ok = |_: &SecretText| Ok(());
        assert!(matches!(form.secret("given", ok), SecretField::Given(_)));
        assert!(matches!(form.secret("null", ok), SecretField::Null));
        assert!(matches!(form.secret("absent", ok), SecretField::Absent));
    }
}
