//! A request's body, kept so that it can be sent again.
//!
//! A unary request is there whole when the call begins; it is kept as the encoded bytes that are
//! sent, shared and never copied. A request longer than 64 KiB, a stream of requests, and whatever
//! would keep more than 16 MiB for all calls of a channel is sent once: such a call is committed
//! from the start.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use tonic::{Status, body::Body};

/// Longer requests are sent once.
const CALL_LIMIT: usize = 64 << 10;
/// Requests that are kept at once by one channel.
const CHANNEL_LIMIT: usize = 16 << 20;

/// What the calls of one channel keep. Cheap to clone; clones share the limit.
#[derive(Clone, Debug)]
pub struct Replay {
    kept: Arc<AtomicUsize>,
    limit: usize,
}

/// What is sent: whole and repeatable, or as it comes and once.
pub struct Payload {
    body: Kept,
    /// Gives back what it takes of the channel's limit.
    _lease: Option<Lease>,
}

enum Kept {
    Whole(Bytes),
    Once(Mutex<Option<Body>>),
}

impl Default for Replay {
    fn default() -> Self {
        Self::new(CHANNEL_LIMIT)
    }
}

impl Replay {
    /// Keeps at most `limit` bytes at once.
    pub fn new(limit: usize) -> Self {
        Self { kept: Arc::default(), limit }
    }

    /// Takes what `body` has ready now; a unary request has everything.
    pub async fn take(&self, mut body: Body) -> Result<Payload, Status> {
        let mut taken = Taken::default();
        let ended = poll_fn(|cx| Poll::Ready(taken.fill(Pin::new(&mut body), cx))).await?;
        let lease = if ended { self.lease(taken.length) } else { None };
        let body = if lease.is_some() {
            Kept::Whole(taken.concat())
        } else {
            let rest = Body::new(Resumed { taken, rest: body });
            Kept::Once(Mutex::new(Some(rest)))
        };
        Ok(Payload { body, _lease: lease })
    }

    /// Returns how many bytes are kept now.
    pub fn kept(&self) -> usize {
        self.kept.load(Relaxed)
    }

    fn lease(&self, length: usize) -> Option<Lease> {
        let lease = Lease { kept: Arc::clone(&self.kept), length };
        let before = self.kept.fetch_add(length, Relaxed);
        (before + length <= self.limit).then_some(lease)
    }
}

struct Lease {
    kept: Arc<AtomicUsize>,
    length: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.kept.fetch_sub(self.length, Relaxed);
    }
}

impl Payload {
    /// Returns whether [`body`](Self::body) gives the same each time.
    pub fn is_repeatable(&self) -> bool {
        matches!(self.body, Kept::Whole(_))
    }

    /// Returns the body of the next attempt: empty after the first if it is not repeatable.
    pub fn body(&self) -> Body {
        match &self.body {
            Kept::Whole(bytes) if bytes.is_empty() => Body::empty(),
            Kept::Whole(bytes) => Body::new(Whole(Some(bytes.clone()))),
            Kept::Once(body) => {
                body.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
            }
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("repeatable", &self.is_repeatable()).finish()
    }
}

#[derive(Default)]
struct Taken {
    /// All there is of a unary request.
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    length: usize,
}

impl Taken {
    /// Returns whether the body has ended. It does not wait: a stream of requests may never end.
    fn fill(&mut self, mut body: Pin<&mut Body>, cx: &mut Context<'_>) -> Result<bool, Status> {
        while self.length <= CALL_LIMIT {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    if let Ok(data) = frame?.into_data() {
                        self.push(data);
                    }
                }
                Poll::Ready(None) => return Ok(true),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(false)
    }

    fn push(&mut self, data: Bytes) {
        self.length += data.len();
        match self.first {
            None => self.first = Some(data),
            Some(_) => self.more.push_back(data),
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.more.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    fn concat(self) -> Bytes {
        let first = self.first.unwrap_or_default();
        if self.more.is_empty() {
            return first;
        }
        let mut whole = BytesMut::with_capacity(self.length);
        whole.extend_from_slice(&first);
        self.more.iter().for_each(|frame| whole.extend_from_slice(frame));
        whole.freeze()
    }
}

/// One frame, which is the last: the stream ends with it and not with an empty one after it.
struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// What was taken already, then the rest.
struct Resumed {
    taken: Taken,
    rest: Body,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.taken.pop() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.taken.is_empty() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    async fn text(payload: &Payload) -> Bytes {
        payload.body().collect().await.unwrap().to_bytes()
    }

    fn full(length: usize) -> Body {
        Body::new(Full::new(Bytes::from(vec![7; length])))
    }

    #[tokio::test]
    async fn a_unary_request_can_be_sent_again_and_gives_its_room_back() {
        let replay = Replay::default();
        let payload = replay.take(full(5)).await.unwrap();

        assert!(payload.is_repeatable());
        assert_eq!(text(&payload).await, text(&payload).await);
        assert_eq!(replay.kept(), 5);
        drop(payload);
        assert_eq!(replay.kept(), 0);
    }

    #[tokio::test]
    async fn a_long_request_and_a_stream_are_sent_once_and_whole() {
        let replay = Replay::default();
        let long = replay.take(full(CALL_LIMIT + 1)).await.unwrap();
        assert!(!long.is_repeatable());
        assert_eq!(text(&long).await.len(), CALL_LIMIT + 1);

        let (send, receive) = futures::channel::mpsc::unbounded::<Result<_, Status>>();
        let data = |text| Ok(Frame::data(Bytes::from_static(text)));
        send.unbounded_send(data(b"one ")).unwrap();
        let stream = replay.take(Body::new(StreamBody::new(receive))).await.unwrap();
        assert!(!stream.is_repeatable());
        send.unbounded_send(data(b"two")).unwrap();
        drop(send);
        assert_eq!(text(&stream).await, "one two");
        assert_eq!(replay.kept(), 0);
    }

    #[tokio::test]
    async fn a_channel_keeps_no_more_than_its_limit() {
        let replay = Replay::new(8);
        let first = replay.take(full(6)).await.unwrap();

        let second = replay.take(full(6)).await.unwrap();
        assert!(first.is_repeatable() && !second.is_repeatable());
        assert_eq!(text(&second).await.len(), 6);
        assert_eq!(replay.kept(), 6);

        drop(first);
        assert!(replay.take(full(6)).await.unwrap().is_repeatable());
    }
}
