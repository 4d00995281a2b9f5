//! The stream below hyper: it tells the pulse what moves, and gives hyper's own refusals a body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::Pulse;
use super::refusal::{self, Refusals};

/// A stream that is watched.
pub(super) struct Watched<I> {
    inner: I,
    pulse: Arc<Pulse>,
    refusals: Refusals,
    /// What is written instead of what hyper said, and how much hyper said.
    instead: Option<(Vec<u8>, usize, usize)>,
}

impl<I> Watched<I> {
    /// Watches a stream.
    pub(super) fn new(inner: I, pulse: Arc<Pulse>, refusals: Refusals) -> Self {
        Self {
            inner,
            pulse,
            refusals,
            instead: None,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.pulse.read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if !bytes.is_empty() {
            self.pulse.wrote(written.is_ready());
        }
        written
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_none()
            && let Some(status) = refusal::of_hyper(bytes)
        {
            self.instead = Some((self.refusals.answer(status), 0, bytes.len()));
        }
        let Some((answer, mut sent, said)) = self.instead.take() else {
            return self.write(cx, bytes);
        };
        while sent < answer.len() {
            match self.write(cx, &answer[sent..]) {
                Poll::Ready(Ok(written)) if written > 0 => sent += written,
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.instead = Some((answer, sent, said));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(said))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
