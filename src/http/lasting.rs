//! Work that is done to its end, also when nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// A future that goes on in a task of its own once it is dropped. Until then it costs no task: whoever waits for it also
/// drives it, on the same thread.
pub(super) struct Lasting<T: Send + 'static> {
    /// None once it has ended.
    work: Option<BoxFuture<'static, T>>,
}

impl<T: Send + 'static> Lasting<T> {
    /// Work that catches its own panics: whoever drives it would meet them.
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            work: Some(work.boxed()),
        }
    }
}

impl<T: Send + 'static> Future for Lasting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = self.work.as_mut() else {
            return Poll::Pending;
        };
        let polled = work.poll_unpin(cx);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Lasting<T> {
    fn drop(&mut self) {
        // Without a runtime the process ends, and the work with it.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_waits_gets_what_it_came_to() {
        assert_eq!(Lasting::new(async { 7 }).await, 7);
    }

    #[tokio::test]
    async fn what_is_dropped_half_way_goes_on() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel::<()>();
        let mut work = Box::pin(Lasting::new(async move {
            gone.await.expect("it was told");
            done.send(()).expect("somebody waits");
        }));
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        drop(work);
        go.send(()).expect("it goes on");
        ended.await.expect("it came to its end");
    }
}
