//! A request's body, kept so that it can be sent again.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use tonic::{Status, body::Body};

/// Longer requests are sent once.
const REPLAY_LIMIT: usize = 64 << 10;

/// What is sent: whole and repeatable, or as it comes and once.
pub(super) enum Payload {
    Whole(Bytes),
    Once(Option<Body>),
}

impl Payload {
    /// Takes what `body` has ready now; a unary request has everything.
    pub(super) async fn take(mut body: Body) -> Result<Self, Status> {
        let mut taken = Taken::default();
        let ended = poll_fn(|cx| Poll::Ready(taken.fill(Pin::new(&mut body), cx))).await?;
        Ok(if ended {
            Self::Whole(taken.concat())
        } else {
            Self::Once(Some(Body::new(Resumed { taken: taken.frames, rest: body })))
        })
    }

    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Returns the body of the next attempt.
    pub(super) fn body(&mut self) -> Body {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Body::empty(),
            Self::Whole(bytes) => Body::new(Whole(Some(bytes.clone()))),
            Self::Once(body) => body.take().unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Taken {
    frames: VecDeque<Bytes>,
    length: usize,
}

impl Taken {
    /// Returns whether the body has ended. It does not wait: a stream of requests may never end.
    fn fill(&mut self, mut body: Pin<&mut Body>, cx: &mut Context<'_>) -> Result<bool, Status> {
        while self.length <= REPLAY_LIMIT {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    if let Ok(data) = frame?.into_data() {
                        self.length += data.len();
                        self.frames.push_back(data);
                    }
                }
                Poll::Ready(None) => return Ok(true),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(false)
    }

    fn concat(mut self) -> Bytes {
        if self.frames.len() <= 1 {
            return self.frames.pop_front().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.length);
        self.frames.iter().for_each(|frame| whole.extend_from_slice(frame));
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
    taken: VecDeque<Bytes>,
    rest: Body,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.taken.pop_front() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.taken.is_empty() && self.rest.is_end_stream()
    }
}
