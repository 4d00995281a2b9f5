//! Standard base64 as Go decodes it: CR and LF are skipped wherever they stand, and the bits that a
//! last character has left over are not looked at. Stricter decoders refuse files that work.

use zeroize::Zeroizing;

/// Whether the text ends in `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Filled up to a multiple of four.
    Required,
    /// Not a single `=`.
    Forbidden,
}

/// This is no base64 of that padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

/// Decodes in one pass.
///
/// # Errors
/// `NotBase64` for any other character, and for padding that is missing, too much or not wanted.
pub fn decode(text: &[u8], padding: Padding) -> Result<Zeroizing<Vec<u8>>, NotBase64> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    each_part(text, padding, |part| decoded.extend_from_slice(part))?;
    Ok(decoded)
}

/// Where the first colon stands in what is decoded; nothing of it is kept.
///
/// # Errors
/// As for [`decode`].
pub fn scan(text: &[u8], padding: Padding) -> Result<Option<usize>, NotBase64> {
    let (mut colon, mut length) = (None, 0);
    each_part(text, padding, |part| {
        if colon.is_none() {
            colon = part
                .iter()
                .position(|byte| *byte == b':')
                .map(|at| length + at);
        }
        length += part.len();
    })?;
    Ok(colon)
}

/// Gives up to three bytes at a time.
fn each_part(text: &[u8], padding: Padding, mut take: impl FnMut(&[u8])) -> Result<(), NotBase64> {
    // Four plain characters at a time, as long as there are; the rest may have line breaks and an end.
    let mut rest = text;
    while let Some((four, behind)) = rest.split_first_chunk::<4>() {
        let [one, two, three, last] = four.map(|byte| VALUES[usize::from(byte)]);
        if (one | two | three | last) & NO_VALUE != 0 {
            break;
        }
        let bits =
            u32::from(one) << 18 | u32::from(two) << 12 | u32::from(three) << 6 | u32::from(last);
        take(&bits.to_be_bytes()[1..]);
        rest = behind;
    }
    let mut characters = rest.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
    let mut quantum = Quantum::default();
    while let Some(byte) = characters.next() {
        if *byte == b'=' && padding == Padding::Required {
            let filled = match quantum.count {
                2 => characters.next() == Some(&b'='),
                3 => true,
                _ => false,
            };
            if !filled || characters.next().is_some() {
                return Err(NotBase64);
            }
            quantum.flush(&mut take);
            return Ok(());
        }
        quantum.push(value_of(*byte)?, &mut take);
    }
    match (quantum.count, padding) {
        (0, _) => Ok(()),
        (2 | 3, Padding::Forbidden) => {
            quantum.flush(&mut take);
            Ok(())
        }
        _ => Err(NotBase64),
    }
}

/// Up to four characters of six bits.
#[derive(Default)]
struct Quantum {
    bits: u32,
    count: u8,
}

impl Quantum {
    fn push(&mut self, value: u32, take: &mut impl FnMut(&[u8])) {
        self.bits = self.bits << 6 | value;
        self.count += 1;
        if self.count == 4 {
            take(&self.bits.to_be_bytes()[1..]);
            *self = Self::default();
        }
    }

    /// Gives the whole bytes of two or three characters; what is left of the last is dropped.
    fn flush(&self, take: &mut impl FnMut(&[u8])) {
        let aligned = self.bits << (6 * (4 - u32::from(self.count)));
        let bytes = usize::from(self.count) - 1;
        take(&aligned.to_be_bytes()[1..=bytes]);
    }
}

/// Set in what is no character of base64.
const NO_VALUE: u8 = 0x80;

/// The six bits of each character.
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NO_VALUE; 256];
    let mut value = 0;
    while value < 64 {
        values[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    values
}

fn value_of(byte: u8) -> Result<u32, NotBase64> {
    match VALUES[usize::from(byte)] {
        NO_VALUE => Err(NotBase64),
        value => Ok(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Option<Vec<u8>> {
        decode(text.as_bytes(), Padding::Required)
            .ok()
            .map(|bytes| bytes.to_vec())
    }

    fn unpadded(text: &str) -> Option<Vec<u8>> {
        decode(text.as_bytes(), Padding::Forbidden)
            .ok()
            .map(|bytes| bytes.to_vec())
    }

    #[test]
    fn padding_is_exact() {
        assert_eq!(padded("YTpiYw=="), Some(b"a:bc".to_vec()));
        assert_eq!(padded("YWI6Y2Q="), Some(b"ab:cd".to_vec()));
        for wrong in [
            "YTpiYw=",
            "YTpiYw",
            "YTpiYw===",
            "YTpiYw==Y",
            "=",
            "Y===",
            "YWw6aWNl=",
        ] {
            assert_eq!(padded(wrong), None, "{wrong}");
        }
        assert_eq!(unpadded("YTpiYw"), Some(b"a:bc".to_vec()));
        for wrong in ["YTpiYw=", "YTpiYw==", "Y", "YTpiY"] {
            assert_eq!(unpadded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn line_breaks_are_skipped_even_inside_the_padding() {
        assert_eq!(padded("\nYT\r\npiYw=\r\n=\n"), Some(b"a:bc".to_vec()));
        assert_eq!(padded("YTpi Yw=="), None);
        assert_eq!(padded("YTpi\tYw=="), None);
    }

    #[test]
    fn left_over_bits_are_not_looked_at() {
        assert_eq!(padded("YTpiYx=="), Some(b"a:bc".to_vec()));
        assert_eq!(unpadded("YTpiYx"), Some(b"a:bc".to_vec()));
    }

    #[test]
    fn every_length_comes_back() {
        use base64::Engine;
        use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
        let bytes: Vec<u8> = (0..=255).rev().collect();
        for length in 0..=bytes.len() {
            let expected = Some(bytes[..length].to_vec());
            assert_eq!(padded(&BASE64_STANDARD.encode(&bytes[..length])), expected);
            assert_eq!(
                unpadded(&BASE64_STANDARD_NO_PAD.encode(&bytes[..length])),
                expected
            );
        }
    }
}
