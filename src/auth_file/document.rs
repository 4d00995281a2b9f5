//! JSON text as Go's `encoding/json` accepts it: any depth up to 10,000, any number, any bytes in
//! strings, names given twice. Everything keeps its place in the text, and nothing is copied out of
//! it before it is asked for.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

use super::scan::Scanner;
use super::text::unquote;

/// How deep Go lets arrays and objects be nested.
pub const MOST_DEPTH: usize = 10_000;

/// Whether nesting has an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// As in Go: [`MOST_DEPTH`].
    OfGo,
    /// As deep as the text is.
    Unlimited,
}

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number of any size.
    Number,
    /// A string.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

impl Kind {
    /// In JSON's words, for a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "an array",
            Self::Object => "an object",
        }
    }
}

/// A value or a name, and where it ends: nodes stand in the order of the text, so that what is inside
/// an array or object follows it directly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// The first node that is not inside this one.
    pub next: usize,
}

/// A place in a text. Both count from one; columns count bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong with a text that is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntaxFault {
    /// Something else was expected.
    Expected(&'static str),
    /// The text ends inside a value.
    EndsEarly,
    /// Nested deeper than [`MOST_DEPTH`].
    TooDeep,
}

/// A syntax error at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub at: usize,
    pub fault: SyntaxFault,
}

/// The first value of a text.
pub struct Document<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    end: usize,
    lines: Lines,
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    /// Looks at single bytes only where there is a line break among some: most files are one long line, or
    /// have few.
    fn of(bytes: &[u8]) -> Self {
        let mut starts = Vec::new();
        for (index, chunk) in bytes.chunks(64).enumerate() {
            if chunk.contains(&b'\n') {
                let breaks = chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                starts.extend(breaks.map(|(at, _)| index * 64 + at + 1));
            }
        }
        Self(starts)
    }

    fn place(&self, at: usize) -> Place {
        let before = self.0.partition_point(|start| *start <= at);
        let start = before.checked_sub(1).map_or(0, |last| self.0[last]);
        Place {
            line: before + 1,
            column: at - start + 1,
        }
    }
}

impl<'a> Document<'a> {
    /// Reads the first value of a text, all of it, and the white space behind it.
    ///
    /// # Errors
    /// What is wrong and where, for what Go's scanner refuses.
    pub fn parse(bytes: &'a [u8], depth: Depth) -> Result<Self, (SyntaxFault, Place)> {
        let lines = Lines::of(bytes);
        match Scanner::new(bytes, depth).scan() {
            Ok(scanned) => Ok(Self {
                bytes,
                nodes: scanned.nodes,
                end: scanned.end,
                lines,
            }),
            Err(error) => Err((error.fault, lines.place(error.at))),
        }
    }

    /// The value; none for a text of nothing but white space.
    pub fn root(&self) -> Option<Value<'_, 'a>> {
        (!self.nodes.is_empty()).then_some(Value {
            document: self,
            index: 0,
        })
    }

    /// Where something follows the value that is no white space.
    pub fn trailing(&self) -> Option<Place> {
        (self.end < self.bytes.len()).then(|| self.lines.place(self.end))
    }

    /// The end of the value and its white space.
    pub fn end(&self) -> Place {
        self.lines.place(self.end)
    }
}

/// A value of a document.
#[derive(Clone, Copy)]
pub struct Value<'d, 'a> {
    document: &'d Document<'a>,
    index: usize,
}

impl<'d, 'a> Value<'d, 'a> {
    fn node(&self) -> &'d Node {
        &self.document.nodes[self.index]
    }

    /// What kind of value it is.
    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// Where it starts.
    pub fn place(&self) -> Place {
        self.document.lines.place(self.node().start)
    }

    /// The bytes of the text that it spans.
    pub fn range(&self) -> Range<usize> {
        self.node().start..self.node().end
    }

    /// The text of a string.
    pub fn text(&self) -> Option<Zeroizing<String>> {
        (self.kind() == Kind::Text).then(|| match self.name() {
            Name::Plain(text) => Zeroizing::new(text.to_owned()),
            Name::Decoded(text) => text,
        })
    }

    /// The same without a copy, where it stands in the text as it is meant; empty for anything else.
    pub fn name(&self) -> Name<'a> {
        if self.kind() != Kind::Text {
            return Name::Plain("");
        }
        let quoted = self.range();
        let inner = &self.document.bytes[quoted.start + 1..quoted.end - 1];
        match std::str::from_utf8(inner) {
            Ok(plain) if !inner.contains(&b'\\') => Name::Plain(plain),
            _ => Name::Decoded(unquote(inner)),
        }
    }

    /// The members of an object, in the order of the text, repeated names included; none of anything
    /// else.
    pub fn members(&self) -> impl Iterator<Item = (Value<'d, 'a>, Value<'d, 'a>)> + use<'d, 'a> {
        let mut inside = self.inside(Kind::Object);
        std::iter::from_fn(move || Some((inside.next()?, inside.next()?)))
    }

    /// The items of an array; none of anything else.
    pub fn items(&self) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
        self.inside(Kind::List)
    }

    fn inside(&self, kind: Kind) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
        let document = self.document;
        let end = if self.kind() == kind {
            self.node().next
        } else {
            0
        };
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            let value = (index < end).then_some(Value { document, index })?;
            index = value.node().next;
            Some(value)
        })
    }
}

/// The text of a string, as it stands or decoded.
pub enum Name<'a> {
    /// It has no escapes.
    Plain(&'a str),
    /// It has some, or is no UTF-8.
    Decoded(Zeroizing<String>),
}

impl std::ops::Deref for Name<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

impl fmt::Debug for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<(SyntaxFault, usize, usize)> {
        let error = Document::parse(text.as_bytes(), Depth::OfGo).err();
        error.map(|(fault, place)| (fault, place.line, place.column))
    }

    #[test]
    fn what_go_accepts_is_accepted() {
        for text in [
            "{}",
            " [ ] ",
            "[[],{}]",
            "-0",
            "1e99999",
            "0.5E+7",
            "\"\u{7f}\"",
            "null",
            "true",
            r#"{"a":1,"a":{"b":[false,"\ud800"]}}"#,
            "",
            " \r\n\t",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
        assert!(Document::parse(b"\"\xff\xfe\"", Depth::OfGo).is_ok());
    }

    #[test]
    fn what_go_refuses_is_refused_at_its_place() {
        for (text, line, column) in [
            ("{\"a\":1,}", 1, 8),
            ("[1,]", 1, 4),
            ("[,1]", 1, 2),
            ("{,}", 1, 2),
            ("\n {'a':1}", 2, 3),
            ("{\"a\" 1}", 1, 6),
            ("{\"a\":}", 1, 6),
            ("[1 2]", 1, 4),
            ("[1}", 1, 3),
            ("\"a\nb\"", 1, 3),
            (r#""\x""#, 1, 3),
            (r#""\u12g4""#, 1, 6),
            ("[01]", 1, 3),
            ("-", 1, 2),
            ("1.", 1, 3),
            ("1e", 1, 3),
            ("nul", 1, 4),
            ("[NaN]", 1, 2),
            ("\u{feff}{}", 1, 1),
            ("{\"a\"", 1, 5),
            ("\0", 1, 1),
        ] {
            let found = fault(text).map(|(_, line, column)| (line, column));
            assert_eq!(found, Some((line, column)), "{text:?}");
        }
    }

    #[test]
    fn nesting_ends_where_it_ends_in_go() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(fault(&nested(MOST_DEPTH)), None);
        assert_eq!(
            fault(&nested(MOST_DEPTH + 1)),
            Some((SyntaxFault::TooDeep, 1, MOST_DEPTH + 1))
        );
        let deeper = nested(500_000);
        assert!(Document::parse(deeper.as_bytes(), Depth::Unlimited).is_ok());
    }

    #[test]
    fn only_the_first_value_is_read() {
        let document = Document::parse(b"{} trailing", Depth::OfGo).map_err(|(fault, _)| fault);
        let document = document.expect("the first value is fine");
        assert_eq!(document.trailing(), Some(Place { line: 1, column: 4 }));
    }

    #[test]
    fn members_come_in_order_with_repeats_and_places() {
        let text = "{\"a\": [1, {\"x\": 2}],\n \"b\": 3, \"a\": \"t\"}";
        let document = Document::parse(text.as_bytes(), Depth::OfGo).map_err(|(fault, _)| fault);
        let document = document.expect("the text is JSON");
        let members: Vec<_> = document
            .root()
            .expect("there is a value")
            .members()
            .map(|(name, value)| {
                (
                    name.text().map(|text| text.to_string()),
                    value.kind(),
                    name.place().line,
                )
            })
            .collect();
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(
            members,
            [
                (name("a"), Kind::List, 1),
                (name("b"), Kind::Number, 2),
                (name("a"), Kind::Text, 2)
            ]
        );
    }
}
