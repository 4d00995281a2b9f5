//! One pass over JSON text that checks the syntax as Go does and notes every value.
//!
//! It keeps a stack of its own, so that nesting costs memory, never the thread's stack.

use super::document::{Depth, Kind, Node, SyntaxError, SyntaxFault};

/// What a scan of the first value of a text found.
pub(super) struct Scanned {
    /// Every value and name, in the order of the text; none for a text of nothing but white space.
    pub nodes: Vec<Node>,
    /// Where the first value and the white space behind it end.
    pub end: usize,
}

pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The arrays and objects that are open, as indices into `nodes`.
    open: Vec<usize>,
    depth: Depth,
}

/// How far a string goes on without anything that means something.
fn plain_length(bytes: &[u8]) -> usize {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    // Many at a time: whether any of them is special takes no branch for each.
    let is_plain = |chunk: &&[u8]| chunk.iter().filter(|byte| is_special(byte)).count() == 0;
    let plain = bytes.chunks_exact(16).take_while(is_plain).count() * 16;
    let rest = &bytes[plain..];
    plain + rest.iter().position(is_special).unwrap_or(rest.len())
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], depth: Depth) -> Self {
        Self {
            bytes,
            at: 0,
            nodes: Vec::with_capacity(bytes.len() / 16 + 8),
            open: Vec::new(),
            depth,
        }
    }

    pub(super) fn scan(mut self) -> Result<Scanned, SyntaxError> {
        self.skip_space();
        if self.at < self.bytes.len() {
            self.value()?;
            while !self.open.is_empty() {
                self.step()?;
            }
            self.skip_space();
        }
        Ok(Scanned {
            nodes: self.nodes,
            end: self.at,
        })
    }

    /// Goes on inside the innermost array or object, behind a value or its opening bracket.
    fn step(&mut self) -> Result<(), SyntaxError> {
        self.skip_space();
        let container = self.open[self.open.len() - 1];
        let is_object = self.nodes[container].kind == Kind::Object;
        let is_first = container + 1 == self.nodes.len();
        match (self.peek(), is_object) {
            (Some(b'}'), true) | (Some(b']'), false) => {
                self.at += 1;
                self.close(container);
                self.open.pop();
                return Ok(());
            }
            (Some(b','), _) if !is_first => {
                self.at += 1;
                self.skip_space();
            }
            _ if is_first => {}
            _ => return Err(self.unexpected("a comma or the end of the array or object")),
        }
        if is_object {
            self.name()?;
        }
        self.value()
    }

    fn name(&mut self) -> Result<(), SyntaxError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in double quotes"));
        }
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("a colon behind the name"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn value(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'{') => self.open(Kind::Object),
            Some(b'[') => self.open(Kind::List),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true", Kind::Bool),
            Some(b'f') => self.literal(b"false", Kind::Bool),
            Some(b'n') => self.literal(b"null", Kind::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn open(&mut self, kind: Kind) -> Result<(), SyntaxError> {
        if self.depth == Depth::OfGo && self.open.len() >= super::document::MOST_DEPTH {
            return Err(SyntaxError {
                at: self.at,
                fault: SyntaxFault::TooDeep,
            });
        }
        self.open.push(self.nodes.len());
        self.start(kind);
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        let node = self.nodes.len();
        self.start(Kind::Text);
        self.at += 1;
        loop {
            self.at += plain_length(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => {
                    return Err(self.unexpected("no bare control character in a string"));
                }
                _ => return Err(self.unexpected("the end of the string")),
            }
        }
        self.at += 1;
        self.close(node);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        let digits = match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(self.unexpected("an escape that JSON knows")),
        };
        self.at += 1;
        for _ in 0..digits {
            if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return Err(self.unexpected("four hexadecimal digits"));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let node = self.nodes.len();
        self.start(Kind::Number);
        self.skip_if(|byte| byte == b'-');
        if !self.skip_if(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.skip_if(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.skip_if(|byte| matches!(byte, b'e' | b'E')) {
            self.skip_if(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        self.close(node);
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !self.skip_if(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected("a digit"));
        }
        while self.skip_if(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    fn literal(&mut self, word: &'static [u8], kind: Kind) -> Result<(), SyntaxError> {
        let node = self.nodes.len();
        self.start(kind);
        for expected in word {
            if !self.skip_if(|byte| byte == *expected) {
                return Err(self.unexpected("true, false or null"));
            }
        }
        self.close(node);
        Ok(())
    }

    fn start(&mut self, kind: Kind) {
        let start = self.at;
        self.nodes.push(Node {
            kind,
            start,
            end: start,
            next: 0,
        });
    }

    /// Notes where a value ends, in the text and among the nodes.
    fn close(&mut self, node: usize) {
        let next = self.nodes.len();
        self.nodes[node].end = self.at;
        self.nodes[node].next = next;
    }

    fn skip_if(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while self.skip_if(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {}
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn unexpected(&self, expected: &'static str) -> SyntaxError {
        let fault = if self.at < self.bytes.len() {
            SyntaxFault::Expected(expected)
        } else {
            SyntaxFault::EndsEarly
        };
        SyntaxError { at: self.at, fault }
    }
}
