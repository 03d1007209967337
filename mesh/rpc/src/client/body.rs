//! A response's body as the caller reads it: within the deadline, measured, its errors understood.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};
use tonic::{Code, Status, body::Body};

use crate::{Deadline, telemetry::Record, transport};

/// The body of a response.
pub struct ClientBody {
    inner: Body,
    record: Record,
    deadline: Option<Deadline>,
    /// Made when the body first has to be waited for: a unary answer mostly is there at once.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ClientBody {
    pub(super) fn new(inner: Body, record: Record, deadline: Option<Deadline>) -> Self {
        Self { inner, record, deadline, sleep: None }
    }

    fn expired(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.instant())));
        sleep.as_mut().poll(cx).is_ready()
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.record.ended(status.code());
        self.inner = Body::empty();
        self.deadline = None;
        Poll::Ready(Some(Err(status)))
    }
}

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.record.read(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(transport::normalize(Box::new(error))),
            Poll::Ready(None) => {
                // Neither headers nor trailers said how it ended.
                self.record.ended(Code::Unknown);
                Poll::Ready(None)
            }
            Poll::Pending if self.expired(cx) => {
                self.fail(transport::gave_up(Code::DeadlineExceeded, "deadline exceeded"))
            }
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

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
