//! Cutting lists into pages. A page token names the last item of the page before, so that each page
//! is one look-up in an index, at any depth.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::query::Query;
use crate::broker::view::Page;
use crate::model::mistake::Fault;
use crate::store::Slice;

const DEFAULT_LIMIT: i64 = 100;
const MOST_LIMIT: i64 = 500;

/// Reads `limit` and `page_token`. One row more than the limit is asked for, to tell whether
/// another page follows.
pub fn slice<K>(query: &mut Query, parse_key: impl FnOnce(&str) -> Option<K>) -> Slice<K> {
    let limit = query
        .optional("limit", parse_limit)
        .unwrap_or(DEFAULT_LIMIT);
    let after = query.optional("page_token", |token| {
        decode(token)
            .and_then(|key| parse_key(&key))
            .ok_or_else(|| {
                Fault::new(
                    "invalid-page-token",
                    "expected the next_page_token of the page before",
                )
            })
    });
    Slice {
        after,
        limit: limit + 1,
    }
}

/// Cuts the rows that a [`slice`] gave into a page.
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

fn parse_limit(text: &str) -> Result<i64, Fault> {
    text.parse()
        .ok()
        .filter(|limit| (1..=MOST_LIMIT).contains(limit))
        .ok_or_else(|| Fault::new("out-of-range", format!("expected 1 to {MOST_LIMIT}")))
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
