//! The stream below hyper: it tells the pulse what moves, and gives hyper's own refusals a body.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::pulse::Pulse;
use super::refusal::{self, Refusals};

/// What bytes come and go by.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket below it.
    fn socket(&self) -> &TcpStream;
}

impl Line for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Line for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A stream that is watched.
pub(super) struct Watched<I> {
    inner: I,
    pulse: Arc<Pulse>,
    refusals: Refusals,
    /// What was read before, and is read again.
    unread: Bytes,
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
            unread: Bytes::new(),
            instead: None,
        }
    }

    /// Has these bytes read again before all others.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }
}

impl<I: Line> Watched<I> {
    /// Returns when there may be something to read.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) async fn speaks(&self) -> io::Result<()> {
        if !self.unread.is_empty() {
            return Ok(());
        }
        self.inner.socket().readable().await
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let count = self.unread.len().min(buffer.remaining());
            let again = self.unread.split_to(count);
            self.pulse.read(&again);
            buffer.put_slice(&again);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.pulse.read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_slices(cx, &[IoSlice::new(bytes)])
    }

    fn write_slices(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        if slices.iter().any(|slice| !slice.is_empty()) {
            self.pulse.wrote(written.is_ready());
        }
        written
    }

    /// Takes note of what hyper says by itself: another answer is written in its place.
    fn replace_refusal(&mut self, bytes: &[u8]) {
        if self.instead.is_none()
            && let Some(status) = refusal::of_hyper(bytes)
        {
            self.instead = Some((self.refusals.answer(status), 0, bytes.len()));
        }
    }

    /// Writes the answer that is said instead, and tells how much of hyper's is said with it.
    fn write_instead(
        &mut self,
        cx: &mut Context<'_>,
        (answer, mut sent, said): (Vec<u8>, usize, usize),
    ) -> Poll<io::Result<usize>> {
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
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.replace_refusal(bytes);
        match self.instead.take() {
            Some(instead) => self.write_instead(cx, instead),
            None => self.write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A refusal is the first that is written after an answer, and has no body of its own.
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.replace_refusal(first.map_or(&[], |slice| slice));
        match self.instead.take() {
            Some(instead) => self.write_instead(cx, instead),
            None => self.write_slices(cx, slices),
        }
    }

    /// What is rendered goes to the socket from where it is, and is not copied into a buffer that lives as long as the
    /// connection.
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.pulse.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
