//! A response's body as the connection reads it: within the deadline, measured, ended by a drain
//! where it would not end by itself.

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body};
use tracing::Span;

use super::{
    call::{Passes, Revocable},
    panic,
    refusal::refused,
};
use crate::{
    Deadline,
    guard::Scope,
    refusal::{self, Refusal},
    telemetry::Record,
};

type Next = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// What surrounds a body until it ends.
#[derive(Default)]
pub(super) struct Watch<'a> {
    pub(super) record: Option<Record>,
    pub(super) span: Option<Span>,
    pub(super) scope: Option<Scope>,
    pub(super) passes: Passes,
    pub(super) deadline: Option<Deadline>,
    /// Either of them ends the body, as UNAVAILABLE.
    pub(super) stops: [Option<&'a CancellationToken>; 2],
}

/// The body of a response.
///
/// What the handler has ready is taken at once, so that a unary call has ended, and holds nothing
/// any more, when its answer begins to be sent. A stream is watched by a task of its own: while the
/// peer does not read, nobody polls a body, and it would outlive its deadline.
pub(super) struct ServerBody {
    ahead: [Option<Result<Frame<Bytes>, Status>>; 2],
    live: Option<Arc<Live>>,
    watcher: Option<AbortHandle>,
}

impl ServerBody {
    /// A body with nothing in it.
    pub(super) fn empty() -> Self {
        Self { ahead: [None, None], live: None, watcher: None }
    }

    /// Keeps what surrounds `response`'s body until that has ended.
    pub(super) async fn watched(response: Response<Body>, watch: Watch<'_>) -> Response<Self> {
        let (head, inner) = response.into_parts();
        Response::from_parts(head, Self::new(inner, watch).await)
    }

    async fn new(inner: Body, watch: Watch<'_>) -> Self {
        let Watch { record, span, scope, passes, deadline, stops } = watch;
        let done = inner.is_end_stream();
        let expires = if done { None } else { passes.expires() };
        let mut source =
            Source { inner, record, span, scope, passes, done, last: None, waker: None };
        let mut this = Self::empty();
        if !done {
            poll_fn(|cx| this.read_ahead(&mut source, cx)).await;
        }
        if source.done {
            source.end();
        } else {
            let ends = (expires, source.passes.revocable());
            let live = Arc::new(Live(Mutex::new(source)));
            let stops = stops.map(Option::<&_>::cloned);
            if deadline.is_some() || expires.is_some() || stops.iter().any(Option::is_some) {
                let watching = watch_over(Arc::downgrade(&live), deadline, ends, stops);
                this.watcher = Some(tokio::spawn(watching).abort_handle());
            }
            this.live = Some(live);
        }
        this
    }

    /// Takes up to two frames, which is all of a unary answer. It does not wait.
    fn read_ahead(&mut self, source: &mut Source, cx: &mut Context<'_>) -> Poll<()> {
        for ahead in &mut self.ahead {
            match source.next(cx) {
                Poll::Ready(Some(frame)) => *ahead = Some(frame),
                Poll::Ready(None) | Poll::Pending => break,
            }
            if source.done {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl http_body::Body for ServerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Next {
        let ahead = self.ahead.iter_mut().find_map(Option::take);
        if ahead.is_some() {
            return Poll::Ready(ahead);
        }
        match &self.live {
            Some(live) => live.next(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.live.is_none() && self.ahead.iter().all(Option::is_none)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl Drop for ServerBody {
    fn drop(&mut self) {
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
    }
}

impl fmt::Debug for ServerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBody").finish_non_exhaustive()
    }
}

/// A body that has not ended, shared with the task that ends it in time.
struct Live(Mutex<Source>);

impl Live {
    fn next(&self, cx: &mut Context<'_>) -> Next {
        let mut source = self.lock();
        if let Some(last) = source.last.take() {
            return Poll::Ready(Some(last));
        }
        let polled = source.next(cx);
        if polled.is_pending() {
            source.waker = Some(cx.waker().clone());
        }
        let over = if source.done { source.take() } else { None };
        drop(source);
        drop(over);
        polled
    }

    /// Ends the stream with a status of the stack's, and the handler's part of it at once.
    fn cut(&self, refusal: Refusal) {
        let mut source = self.lock();
        if source.done {
            return;
        }
        let status = refused(refusal);
        source.ended(status.code());
        source.done = true;
        let mut trailers = HeaderMap::new();
        source.last = Some(match status.add_header(&mut trailers) {
            Ok(()) => {
                source.mark(&mut trailers);
                Ok(Frame::trailers(trailers))
            }
            Err(status) => Err(status),
        });
        let over = source.take();
        let waker = source.waker.take();
        drop(source);
        // Whatever a handler does when it is dropped, it does without the lock.
        drop(over);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handler's body and what is kept until it ends.
struct Source {
    inner: Body,
    record: Option<Record>,
    span: Option<Span>,
    scope: Option<Scope>,
    passes: Passes,
    done: bool,
    /// What is still to be said after the handler's part was dropped.
    last: Option<Result<Frame<Bytes>, Status>>,
    waker: Option<Waker>,
}

impl Source {
    fn next(&mut self, cx: &mut Context<'_>) -> Next {
        if self.done {
            return Poll::Ready(None);
        }
        let inner = Pin::new(&mut self.inner);
        let polled = {
            let _entered = self.span.as_ref().map(Span::enter);
            let step = || panic::guarded(|| inner.poll_frame(cx));
            match &self.scope {
                Some(scope) => scope.step(step),
                None => step(),
            }
        };
        match polled {
            Ok(Poll::Ready(Some(Ok(mut frame)))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    self.done = true;
                    refusal::disown(trailers);
                    self.mark(trailers);
                    if let Some(record) = &mut self.record {
                        record.read(trailers);
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Ok(Poll::Ready(Some(Err(status)))) => {
                self.done = true;
                self.ended(status.code());
                Poll::Ready(Some(Err(status)))
            }
            Ok(Poll::Ready(None)) => {
                self.done = true;
                Poll::Ready(None)
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err(status) => {
                self.done = true;
                self.ended(status.code());
                let mut trailers = HeaderMap::new();
                let added = status.add_header(&mut trailers);
                Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
            }
        }
    }

    fn mark(&self, trailers: &mut HeaderMap) {
        if let Some(scope) = &self.scope {
            scope.mark(trailers);
        }
    }

    fn ended(&mut self, code: Code) {
        if let Some(record) = &mut self.record {
            record.ended(code);
        }
    }

    /// Takes out what was kept, to be dropped.
    fn take(&mut self) -> Option<impl Sized + use<>> {
        self.passes.finished();
        let inner = mem::replace(&mut self.inner, Body::empty());
        Some((inner, mem::take(&mut self.passes), self.record.take(), self.span.take()))
    }

    fn end(mut self) {
        self.passes.finished();
    }
}

/// Ends the body when its time is over.
async fn watch_over(
    live: Weak<Live>,
    deadline: Option<Deadline>,
    (expires, revocable): (Option<Instant>, Option<Revocable>),
    [one, other]: [Option<CancellationToken>; 2],
) {
    let until = async |instant: Option<Instant>| match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    };
    let refusal = tokio::select! {
        () = until(deadline.map(|deadline| deadline.instant())) => Refusal::DeadlineExceeded,
        () = until(expires) => Refusal::TokenExpired,
        () = revoked(revocable) => Refusal::TokenRevoked,
        () = cancelled(one) => Refusal::Stopped,
        () = cancelled(other) => Refusal::Stopped,
    };
    if let Some(live) = live.upgrade() {
        live.cut(refusal);
    }
}

async fn revoked(revocable: Option<Revocable>) {
    match revocable {
        Some((user, revocations)) => revocations.ended(&user).await,
        None => std::future::pending().await,
    }
}

async fn cancelled(token: Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}
