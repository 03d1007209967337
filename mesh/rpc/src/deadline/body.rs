//! A body that ends at the deadline.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};
use tonic::Status;

use super::{Deadline, exceeded};
use crate::transport;

/// A response's body that ends DEADLINE_EXCEEDED at the deadline, whether or not data waits to be
/// read then; its errors are those that gRPC means.
///
/// Data is counted as in time when it is read: a reader that is slower than its deadline gets no
/// more of a stream. Trailers are handed on always, they say how it ended.
pub struct Bounded<B> {
    /// None once it is over.
    inner: Option<B>,
    deadline: Option<Deadline>,
    /// Made when the body first has to be waited for: a unary answer mostly is there at once.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> Bounded<B> {
    /// Ends `inner` at `deadline`, if there is one.
    pub fn new(inner: B, deadline: Option<Deadline>) -> Self {
        Self { inner: Some(inner), deadline, sleep: None }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.instant())));
        sleep.as_mut().poll(cx).is_ready()
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // Dropped at once: the callee learns by the reset that nobody reads on.
        self.inner = None;
        Poll::Ready(Some(Err(status)))
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let late = |deadline: Deadline| deadline.remaining().is_zero();
                if frame.is_data() && self.deadline.is_some_and(late) {
                    return self.fail(exceeded());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(transport::normalize(Box::new(error))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.is_late(cx) => self.fail(exceeded()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> fmt::Debug for Bounded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::{Instant, advance};
    use tonic::Code;

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, Status>>;

    fn frames() -> Frames {
        let data = || Ok(Frame::data(Bytes::from_static(b"x")));
        vec![data(), data(), Ok(Frame::trailers(HeaderMap::new()))]
    }

    fn bounded(frames: Frames) -> Bounded<impl Body<Data = Bytes, Error = Status> + Unpin> {
        let deadline = Deadline::after(Duration::from_secs(1));
        Bounded::new(StreamBody::new(futures::stream::iter(frames)), Some(deadline))
    }

    #[tokio::test(start_paused = true)]
    async fn data_that_waits_beyond_the_deadline_is_not_read() {
        let mut body = bounded(frames());
        assert!(body.frame().await.unwrap().is_ok());

        advance(Duration::from_secs(1)).await;

        let status = body.frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn trailers_are_handed_on_however_late() {
        let mut body = bounded(frames());
        body.frame().await.unwrap().unwrap();
        body.frame().await.unwrap().unwrap();

        advance(Duration::from_secs(1)).await;

        assert!(body.frame().await.unwrap().unwrap().is_trailers());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_nothing_comes_from_ends_at_the_deadline() {
        let begin = Instant::now();
        let endless = StreamBody::new(futures::stream::pending());
        let mut body = Bounded::new(endless, Some(Deadline::after(Duration::from_millis(100))));

        let status = body.frame().await.unwrap().unwrap_err();

        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(begin.elapsed(), Duration::from_millis(100));
    }
}
