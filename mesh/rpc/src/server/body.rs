//! A response's body as the connection reads it: within the deadline, measured, ended by a drain
//! where it would not end by itself.

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status, body::Body};
use tracing::Span;

use crate::{
    Deadline,
    fault::{STACK, StackFault, status},
    telemetry::Record,
};

type Next = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// The body of a response.
pub(super) struct ServerBody {
    inner: Body,
    record: Option<Record>,
    span: Span,
    deadline: Option<Deadline>,
    closing: Option<CancellationToken>,
    /// Made when the body first has to be waited for: a unary answer is there at once.
    sleep: Option<Pin<Box<Sleep>>>,
    close: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl ServerBody {
    /// A body that ends at `deadline`, and when `closing` is cancelled.
    pub(super) fn new(
        inner: Body,
        record: Record,
        span: Span,
        deadline: Option<Deadline>,
        closing: Option<CancellationToken>,
    ) -> Self {
        let record = Some(record);
        Self { inner, record, span, deadline, closing, sleep: None, close: None }
    }

    /// A body with nothing in it.
    pub(super) fn empty() -> Self {
        Self {
            inner: Body::empty(),
            record: None,
            span: Span::none(),
            deadline: None,
            closing: None,
            sleep: None,
            close: None,
        }
    }

    fn ended(&mut self, code: Code) {
        if let Some(record) = &mut self.record {
            record.ended(code);
        }
    }

    /// Ends the stream with a status of the stack's.
    fn cut(&mut self, fault: StackFault) -> Next {
        let status = status(STACK, &fault);
        self.ended(status.code());
        self.inner = Body::empty();
        (self.deadline, self.closing) = (None, None);
        let mut trailers = HeaderMap::new();
        match status.add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }

    /// Why the stream must end although it has not.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<StackFault> {
        if let Some(deadline) = self.deadline {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.instant())));
            if sleep.as_mut().poll(cx).is_ready() {
                return Some(StackFault::DeadlineExceeded);
            }
        }
        if let Some(closing) = &self.closing {
            let close =
                self.close.get_or_insert_with(|| Box::pin(closing.clone().cancelled_owned()));
            if close.as_mut().poll(cx).is_ready() {
                return Some(StackFault::Stopping);
            }
        }
        None
    }
}

impl http_body::Body for ServerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Next {
        let this = &mut *self;
        let polled = {
            let _entered = this.span.enter();
            catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(cx)))
        };
        match polled {
            Ok(Poll::Pending) => match this.overdue(cx) {
                Some(fault) => this.cut(fault),
                None => Poll::Pending,
            },
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                if let (Some(record), Some(trailers)) = (&mut this.record, frame.trailers_ref()) {
                    record.read(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Ok(Poll::Ready(Some(Err(status)))) => {
                this.ended(status.code());
                Poll::Ready(Some(Err(status)))
            }
            Ok(Poll::Ready(None)) => Poll::Ready(None),
            Err(_) => this.cut(StackFault::Panicked),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
