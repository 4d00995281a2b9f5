//! Cutting lists into pages. A page token names the last item of the page before, so that each page
//! is one look-up in an index, at any depth.

use std::marker::PhantomData;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use crate::broker::view::Page;
use crate::model::body::{Body, Face, Field, Presence, Whole, Wire, text_schema};
use crate::model::form::{self, At, Form};
use crate::model::json::Json;
use crate::model::mistake::Fault;
use crate::store::Slice;

const DEFAULT_LIMIT: i64 = 100;

/// What the items of a list are cut by: the key of the last one stands in the page token.
pub trait PageKey: Sized {
    /// Reads a key back.
    fn parse(text: &str) -> Option<Self>;
}

impl PageKey for String {
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl PageKey for Uuid {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl PageKey for i64 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// `limit` and `page_token` of a list.
pub struct PageParams<K> {
    /// What to read. One row more than the limit is asked for, to tell whether another page follows.
    pub slice: Slice<K>,
    /// Whether the limit was given.
    pub is_limited: bool,
}

type Limit = Whole<1, 500>;

impl<K: PageKey> Body for PageParams<K> {
    fn fields() -> Vec<Field> {
        let field = |name, doc: &str, schema| Field {
            name,
            doc: doc.to_owned(),
            presence: Presence::Optional,
            is_list: false,
            schema,
            register: |_, _| {},
        };
        vec![
            field("limit", "Most items; 100 unless given.", Limit::schema),
            field(
                "page_token",
                "The `next_page_token` of the page before.",
                PageToken::<K>::schema,
            ),
        ]
    }

    fn read_fields(form: &mut Form) -> Option<Self> {
        let limit = form.optional::<Limit>("limit").map(u64::cast_signed);
        let after = form.optional::<PageToken<K>>("page_token");
        let is_limited = limit.is_some();
        let limit = limit.unwrap_or(DEFAULT_LIMIT) + 1;
        let slice = Slice { after, limit };
        Some(Self { slice, is_limited })
    }
}

struct PageToken<K>(PhantomData<K>);

impl<K: PageKey> Wire for PageToken<K> {
    type Value = K;

    fn read(json: Json, at: &mut At) -> Option<K> {
        let key = decode(&at.take(form::text(json))?).and_then(|key| K::parse(&key));
        let expected = || {
            let detail = "expected the next_page_token of the page before";
            Fault::new("invalid-page-token", detail)
        };
        at.take(key.ok_or_else(expected))
    }

    fn schema(_: Face) -> RefOr<Schema> {
        text_schema(1, 1024)
            .pattern(Some("^[-_A-Za-z0-9]+$"))
            .into()
    }
}

/// Cuts the rows that [`PageParams`] asked for into a page.
pub fn page<T>(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> String) -> Page<T> {
    let most = usize::try_from(limit - 1).unwrap_or_default();
    let more = items.len() > most;
    items.truncate(most);
    let next_page_token = items.last().filter(|_| more).map(|last| encode(&key(last)));
    Page {
        items,
        next_page_token,
    }
}

fn encode(key: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("1:{key}"))
}

fn decode(token: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let key = text.strip_prefix("1:")?;
    // PostgreSQL takes no NUL in text, and no key of ours holds one.
    (!key.contains('\0')).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_whether_another_follows() {
        let full = page(vec![1, 2, 3], 3, |item| item.to_string());
        assert_eq!(full.items, [1, 2]);
        assert_eq!(
            decode(&full.next_page_token.expect("another page")).as_deref(),
            Some("2")
        );
        assert!(
            page(vec![1, 2], 3, |item| item.to_string())
                .next_page_token
                .is_none()
        );
    }

    #[test]
    fn foreign_page_tokens_are_refused() {
        for token in ["", "x", "????", "bm9wZQ", "MTphAA"] {
            assert_eq!(decode(token), None, "{token}");
        }
    }
}
