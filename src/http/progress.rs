//! Bodies that must go on: what a client sends, and what is sent to it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::pulse::Beat;

/// How long the next piece of a body may take.
const NEXT: Duration = Duration::from_secs(10);
/// How long a whole body may take: 1 MiB at 17 KiB/s.
const WHOLE: Duration = Duration::from_secs(60);

/// A body that stopped, or never began.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub struct Late;

/// A request's body, which ends with an error when it comes too slowly.
pub(super) struct Sent<B> {
    inner: B,
    next: Duration,
    until: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Sent<B> {
    /// A body that begins now.
    pub(super) fn new(inner: B) -> Self {
        Self::within(inner, NEXT, WHOLE)
    }

    fn within(inner: B, next: Duration, whole: Duration) -> Self {
        Self {
            inner,
            next,
            until: Instant::now() + whole,
            timer: None,
        }
    }
}

impl<B> HttpBody for Sent<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)));
        }
        let until = self.until.min(Instant::now() + self.next);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(axum::Error::new(Late)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body: while it is there, the connection has work.
pub(super) struct Answer {
    inner: axum::body::Body,
    _beat: Beat,
}

impl Answer {
    /// A body of this request.
    pub(super) fn new(inner: axum::body::Body, mut beat: Beat) -> Self {
        beat.answer();
        Self { inner, _beat: beat }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};

    const MOMENT: Duration = Duration::from_millis(50);
    const EVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_body_that_stops_is_an_error() {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
        let body = Sent::within(StreamBody::new(never), MOMENT, EVER);
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_an_error_in_the_end() {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(MOMENT / 10).await;
            let drop = Frame::data(Bytes::from_static(b"x"));
            Some((Ok::<_, std::io::Error>(drop), ()))
        });
        let body = Sent::within(StreamBody::new(Box::pin(drops)), EVER, MOMENT);
        assert!(body.collect().await.is_err());
    }
}
