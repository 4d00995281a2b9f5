//! What hyper refuses by itself, before there is a request: framing that is wrong, a head that is too long.
//!
//! It answers with a status and nothing else. Every answer of this API is a problem with an id, so such an answer is
//! replaced on its way out, counted and logged.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use uuid::Uuid;

use super::metrics::Metrics;
use super::problem::{Code, Problem};

/// Longer than any answer that hyper makes by itself.
const LONGEST: usize = 256;

/// What hyper refuses with. Another bare status is an answer of the service behind.
const OF_HYPER: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::URI_TOO_LONG,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
];

/// Answers in hyper's place on one connection.
#[derive(Clone)]
pub(super) struct Refusals {
    metrics: Arc<Metrics>,
    address: SocketAddr,
}

/// The status of an answer that hyper made by itself: a refusal without a body and without the id that all of ours have.
pub(super) fn of_hyper(bytes: &[u8]) -> Option<StatusCode> {
    if bytes.len() > LONGEST {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?;
    let rest = head.strip_prefix("HTTP/1.1 ")?;
    let status = StatusCode::from_bytes(rest.get(..3)?.as_bytes()).ok()?;
    let lower = head.to_ascii_lowercase();
    let is_bare = head.ends_with("\r\n\r\n")
        && head.matches("\r\n\r\n").count() == 1
        && lower.contains("\r\ncontent-length: 0\r\n")
        && !lower.contains("\r\nx-request-id:");
    (is_bare && OF_HYPER.contains(&status)).then_some(status)
}

impl Refusals {
    /// Those of a connection from an address.
    pub(super) fn new(metrics: Arc<Metrics>, address: SocketAddr) -> Self {
        Self { metrics, address }
    }

    /// The whole answer, after which the connection ends.
    pub(super) fn answer(&self, status: StatusCode) -> Vec<u8> {
        let detail = match status {
            StatusCode::URI_TOO_LONG => "the URL is too long",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the headers are too large or too many",
            _ => "this is no HTTP request that can be read",
        };
        let id = Uuid::now_v7();
        self.metrics.count_refused(status.as_u16());
        tracing::info!(status = status.as_u16(), %id, address = %self.address, "refused before it was a request");
        let body = Problem::new(Code::MalformedRequest, detail).body_as(status, id);
        let mut answer = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nx-request-id: {id}\r\n\
             cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
            status.as_str(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
        )
        .into_bytes();
        answer.extend_from_slice(&body);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_replaced() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(of_hyper(bare), StatusCode::from_u16(431).ok());
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 400",
            b"",
        ] {
            assert_eq!(of_hyper(other), None);
        }
    }
}
