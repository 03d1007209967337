//! A response's body as the caller reads it: within the deadline, measured, its errors understood.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Code, Status};

use crate::{
    Deadline, bulkhead::Held, deadline::Bounded, retry::Peeked, telemetry::Record, transport,
};

/// What of an answer may have been read already, and what it holds until it ends.
pub(super) type Read = Held<Peeked>;

/// The body of a response.
pub struct ClientBody {
    inner: Bounded<Read>,
    record: Record,
}

impl ClientBody {
    pub(super) fn new(inner: Read, record: Record, deadline: Option<Deadline>) -> Self {
        Self { inner: Bounded::new(inner, deadline), record }
    }
}

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut next = Pin::new(&mut self.inner).poll_frame(cx);
        match &mut next {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    transport::drop_malformed_details(trailers);
                    self.record.read(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => self.record.ended(status.code()),
            // Neither headers nor trailers said how it ended.
            Poll::Ready(None) => self.record.ended(Code::Unknown),
            Poll::Pending => {}
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody").field("body", &self.inner).finish_non_exhaustive()
    }
}
