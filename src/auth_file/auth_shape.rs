//! What an `auth` amounts to, told without decoding it into memory: every client that reads a file needs to know
//! of every entry whether it can be read, and of few what it holds.

use super::base64::{Padding, scan};
use crate::model::secret::SecretText;

/// What an `auth` is as base64 of `user:password`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    /// There is none.
    #[default]
    Absent,
    /// No base64.
    NotBase64,
    /// Nothing in it parts user and password.
    NoColon,
    /// Nothing stands before the colon.
    NoUser,
    /// User and password.
    Pair,
}

/// The same for those who want padding, and for kubelet, which takes it or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct AuthShape {
    pub padded: Shape,
    pub lenient: Shape,
}

impl AuthShape {
    pub(super) fn of(auth: Option<&SecretText>) -> Self {
        let Some(auth) = auth.filter(|auth| !auth.is_empty()) else {
            return Self::default();
        };
        let text = auth.expose();
        let padded = shape(text, Padding::Required);
        let lenient = match lenient_padding(text) {
            Padding::Required => padded,
            Padding::Forbidden => shape(text, Padding::Forbidden),
        };
        Self { padded, lenient }
    }
}

/// How kubelet reads a text: padded where it ends so.
pub(super) fn lenient_padding(text: &str) -> Padding {
    match text.trim_end().ends_with('=') {
        true => Padding::Required,
        false => Padding::Forbidden,
    }
}

fn shape(text: &str, padding: Padding) -> Shape {
    match scan(text.as_bytes(), padding) {
        Err(_) => Shape::NotBase64,
        Ok(None) => Shape::NoColon,
        Ok(Some(0)) => Shape::NoUser,
        Ok(Some(_)) => Shape::Pair,
    }
}
