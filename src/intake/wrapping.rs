//! What stands around an auth file although nobody meant it to: marks and encodings that editors, shells
//! and `base64` leave behind. Each is told by its name, and can be taken off without a decision.

use zeroize::Zeroizing;

use super::form::{decode_data, form_of};
use crate::model::json::Json;

/// What is around a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// A byte order mark before UTF-8.
    ByteOrderMark,
    /// UTF-16, as PowerShell 5 writes it.
    Utf16,
    /// Base64, although what is around it encodes it already.
    Base64,
}

impl Wrapping {
    /// What is wrong, in a sentence.
    pub fn detail(self) -> &'static str {
        match self {
            Self::ByteOrderMark => {
                "it starts with a byte order mark, which is no JSON; every client refuses it"
            }
            Self::Utf16 => "it is written in UTF-16, which is no JSON; every client refuses it",
            Self::Base64 => "the value is base64 of base64; it is encoded once too often",
        }
    }
}

/// What is around a text, and the text without it; of several the outermost.
pub fn unwrapped(bytes: &[u8]) -> Option<(Wrapping, Zeroizing<Vec<u8>>)> {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return Some((Wrapping::ByteOrderMark, Zeroizing::new(rest.to_vec())));
    }
    if let Some(text) = utf16(bytes) {
        return Some((Wrapping::Utf16, Zeroizing::new(text.as_bytes().to_vec())));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if text.is_empty() || text.starts_with(['{', '[']) {
        return None;
    }
    let inner = decode_data(text).ok()?;
    let is_file = match unwrapped(&inner) {
        Some(_) => true,
        None => form_of(&Json::parse(&inner).ok()?).is_some(),
    };
    is_file.then_some((Wrapping::Base64, inner))
}

/// A text in UTF-16 with its byte order mark, or without one if every other byte at its start is zero.
pub fn utf16(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let (little, rest) = match bytes {
        [0xff, 0xfe, rest @ ..] => (true, rest),
        [0xfe, 0xff, rest @ ..] => (false, rest),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => (true, bytes),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => (false, bytes),
        _ => return None,
    };
    let units = rest.chunks_exact(2).map(|pair| match little {
        true => u16::from_le_bytes([pair[0], pair[1]]),
        false => u16::from_be_bytes([pair[0], pair[1]]),
    });
    // No unit needs more than three bytes: with this room no copy is left behind.
    let mut text = Zeroizing::new(String::with_capacity(rest.len() / 2 * 3));
    let decoded = char::decode_utf16(units);
    text.extend(decoded.map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    Some(text)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::{Wrapping, unwrapped, utf16};

    const FILE: &[u8] = br#"{"auths":{}}"#;

    fn wide(text: &str, mark: &[u8], little: bool) -> Vec<u8> {
        let units = text.encode_utf16().flat_map(|unit| match little {
            true => unit.to_le_bytes(),
            false => unit.to_be_bytes(),
        });
        mark.iter().copied().chain(units).collect()
    }

    #[test]
    fn each_wrapping_is_known_and_comes_off() {
        let text = std::str::from_utf8(FILE).expect("UTF-8");
        let base64 = BASE64_STANDARD.encode(FILE).into_bytes();
        let marked_in_base64 = BASE64_STANDARD.encode([b"\xef\xbb\xbf", FILE].concat());
        for (bytes, expected) in [
            ([b"\xef\xbb\xbf", FILE].concat(), Wrapping::ByteOrderMark),
            (wide(text, b"\xff\xfe", true), Wrapping::Utf16),
            (wide(text, b"\xfe\xff", false), Wrapping::Utf16),
            (wide(text, b"", true), Wrapping::Utf16),
            (base64.clone(), Wrapping::Base64),
            ([b" ", base64.as_slice(), b"\n"].concat(), Wrapping::Base64),
            (marked_in_base64.into_bytes(), Wrapping::Base64),
        ] {
            let (found, inner) = unwrapped(&bytes).expect("it is wrapped");
            assert_eq!(found, expected);
            let inner = unwrapped(&inner).map_or(inner, |(_, inner)| inner);
            assert_eq!(inner.as_slice(), FILE, "{expected:?}");
        }
        for plain in [FILE, b"", b"{", b"[]", b"words", b"YWJj", b"\xff"] {
            assert!(unwrapped(plain).is_none(), "{plain:?}");
        }
    }

    #[test]
    fn what_is_no_unicode_is_replaced() {
        let lone = [0xff, 0xfe, b'a', 0, 0x00, 0xd8, b'b', 0];
        assert_eq!(utf16(&lone).expect("UTF-16").as_str(), "a\u{fffd}b");
        assert!(utf16(b"ab").is_none());
    }
}
