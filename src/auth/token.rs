//! regcred's own tokens: `rgc_`, 256 random bits in base 62, a checksum.
//!
//! The prefix and the checksum let a secret scanner find a leaked token without false alarms, and
//! let a mistyped one fail without a look-up. The hash needs no salt or stretching: nobody guesses
//! 256 random bits.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::model::secret::SecretText;

const PREFIX: &str = "rgc_";
const LINK_PREFIX: &str = "rgl_";
/// Base-62 digits that 256 bits need.
const BODY_DIGITS: usize = 43;
/// Base-62 digits that 32 bits need.
const CHECKSUM_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a token: what is stored and looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// A token that was made here, or that has the right form and checksum.
pub struct Token(SecretText);

impl Token {
    /// Makes a token from 256 random bits.
    pub fn from_random(bits: &[u8; 32]) -> Self {
        Self(make(PREFIX, bits))
    }

    /// Takes a text that has the form and the checksum of a token.
    pub fn parse(text: &str) -> Option<Self> {
        take(PREFIX, text).map(Self)
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }

    /// The token itself, to be shown once.
    pub fn secret(&self) -> &SecretText {
        &self.0
    }
}

/// The last part of a link's URL: like a token, but of no use as one.
pub struct LinkToken(SecretText);

impl LinkToken {
    /// Makes one from 256 random bits.
    pub fn from_random(bits: &[u8; 32]) -> Self {
        Self(make(LINK_PREFIX, bits))
    }

    /// Takes a text that has the form and the checksum of one.
    pub fn parse(text: &str) -> Option<Self> {
        take(LINK_PREFIX, text).map(Self)
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }

    /// The text itself, to be shown once.
    pub fn secret(&self) -> &SecretText {
        &self.0
    }
}

fn make(prefix: &str, bits: &[u8; 32]) -> SecretText {
    let mut text = String::with_capacity(prefix.len() + BODY_DIGITS + CHECKSUM_DIGITS);
    text.push_str(prefix);
    push_base62(&mut text, bits, BODY_DIGITS);
    let checksum = checksum(&text);
    push_base62(&mut text, &checksum, CHECKSUM_DIGITS);
    SecretText::new(text)
}

fn take(prefix: &str, text: &str) -> Option<SecretText> {
    let body = text.strip_prefix(prefix)?;
    let well_formed = body.len() == BODY_DIGITS + CHECKSUM_DIGITS
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !well_formed {
        return None;
    }
    let (signed, given) = text.split_at(prefix.len() + BODY_DIGITS);
    let mut expected = String::new();
    push_base62(&mut expected, &checksum(signed), CHECKSUM_DIGITS);
    (expected == given).then(|| SecretText::new(text.to_owned()))
}

fn hash(text: &SecretText) -> TokenHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.expose().as_bytes()).as_ref());
    TokenHash(hash)
}

/// The first 32 bits of SHA-256. It guards against typing, not against forging.
fn checksum(text: &str) -> [u8; 4] {
    let mut checksum = [0; 4];
    checksum.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..4]);
    checksum
}

/// Writes a big-endian number in base 62, padded with zeros to `width` digits.
fn push_base62(text: &mut String, number: &[u8], width: usize) {
    let mut number = Zeroizing::new(number.to_vec());
    let mut digits = Zeroizing::new(vec![0_u8; width]);
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in number.iter_mut() {
            let value = remainder * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    text.extend(digits.iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> String {
        Token::from_random(&[7; 32]).secret().expose().to_owned()
    }

    #[test]
    fn a_token_parses_back() {
        let token = token();
        assert_eq!(token.len(), 53);
        let parsed = Token::parse(&token).expect("its own form");
        assert_eq!(parsed.hash(), Token::from_random(&[7; 32]).hash());
    }

    #[test]
    fn a_link_is_no_token_and_a_token_no_link() {
        let link = LinkToken::from_random(&[7; 32]);
        assert!(LinkToken::parse(link.secret().expose()).is_some());
        assert!(Token::parse(link.secret().expose()).is_none());
        assert!(LinkToken::parse(&token()).is_none());
    }

    #[test]
    fn the_extremes_fit_the_width() {
        for bits in [[0_u8; 32], [255; 32]] {
            assert!(Token::parse(Token::from_random(&bits).secret().expose()).is_some());
        }
    }

    #[test]
    fn any_changed_character_fails_the_checksum() {
        let token = token();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).expect("still ASCII");
            assert!(Token::parse(&changed).is_none(), "character {at}");
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let long = format!("{}0", token());
        for text in [
            "",
            "rgc_",
            "Bearer",
            &token()[..52],
            long.as_str(),
            "eyJhbGciOiJSUzI1NiJ9.e30.x",
        ] {
            assert!(Token::parse(text).is_none(), "{text:?}");
        }
    }
}
