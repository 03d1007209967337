//! A limit on the calls under way to one target, so that one that hangs does not take the whole
//! process with it.
//!
//! A call holds its place for as long as it lives: over all attempts and pauses, and until its
//! answer's body has ended or is dropped ([`Permit::hold`]). A limit that is free at the headers,
//! as tonic's is, lets any number of streams by. What finds no place may wait in a bounded queue,
//! first come first served, until its deadline; everything beyond is refused at once:
//! RESOURCE_EXHAUSTED ([`Refusal::Bulkhead`]), never sent.
//!
//! ```
//! use http::Response;
//! use mesh_policy::values;
//! use mesh_rpc::{bulkhead::Bulkhead, refusal::{Refusal, refusal}};
//! use tonic::body::Body;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let bulkhead = Bulkhead::new(values::Bulkhead { calls: 1, queue: 0 });
//! let permit = bulkhead.enter(None).await.unwrap();
//! let answer = permit.hold(Response::new(Body::empty()));
//!
//! let refused = bulkhead.enter(None).await.unwrap_err();
//! assert_eq!(refusal(&refused), Some(Refusal::Bulkhead));
//! drop(answer);
//! assert!(bulkhead.enter(None).await.is_ok());
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Cost: three atomic operations per call, and a reference count; a place in the queue takes a lock
//! for moments.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use mesh_policy::values;
use opentelemetry::{KeyValue, metrics::Counter};
use tokio::{sync::Semaphore, time::timeout_at};
use tonic::Status;

use crate::{
    attempt::Name,
    deadline::{Deadline, too_late},
    refusal::Refusal,
    transport,
};

static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.client.bulkhead_refusals")
        .with_description("Calls refused because too many to the target were under way")
        .build()
});

/// The limit of one target. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Bulkhead(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    target: opentelemetry::StringValue,
    places: Semaphore,
    calls: AtomicUsize,
    queue: AtomicUsize,
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    /// Places to be taken away when they are given back, after the limit was lowered.
    owed: AtomicUsize,
}

/// A limit as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Calls under way.
    pub in_flight: usize,
    /// Calls under way at most.
    pub calls: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Calls that may wait.
    pub queue: usize,
}

impl Bulkhead {
    /// A limit with these values.
    pub fn new(values: values::Bulkhead) -> Self {
        Self::named("", values)
    }

    /// A limit whose metrics name `target`.
    pub fn named(target: impl Into<Name>, values: values::Bulkhead) -> Self {
        let calls = values.calls.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            target: target.into().into(),
            places: Semaphore::new(calls),
            calls: AtomicUsize::new(calls),
            queue: AtomicUsize::new(values.queue),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
        }))
    }

    /// Changes the limit. Calls under way beyond a lower one go on; no others begin meanwhile.
    ///
    /// Not to be called by two tasks at once.
    pub fn set(&self, values: values::Bulkhead) {
        let shared = &self.0;
        let calls = values.calls.min(Semaphore::MAX_PERMITS);
        shared.queue.store(values.queue, Relaxed);
        let old = shared.calls.swap(calls, Relaxed);
        if calls < old {
            let less = old - calls;
            let idle = shared.places.forget_permits(less);
            shared.owed.fetch_add(less - idle, Relaxed);
        } else {
            (old..calls).for_each(|_| shared.give_back());
        }
    }

    /// Takes a place, at once or after waiting in the queue until `deadline` at most.
    ///
    /// Errors: [`Refusal::Bulkhead`] if the queue is full, [`Refusal::Deadline`] if there is no
    /// place in time; nothing was sent in either case.
    pub async fn enter(&self, deadline: Option<Deadline>) -> Result<Permit, Status> {
        let shared = &self.0;
        if let Ok(place) = shared.places.try_acquire() {
            place.forget();
            return Ok(Permit::new(shared));
        }
        let queue = shared.queue.load(Relaxed);
        let queued = shared
            .waiting
            .fetch_update(Relaxed, Relaxed, |waiting| (waiting < queue).then_some(waiting + 1));
        if queued.is_err() {
            tracing::debug!(target = shared.target.as_str(), "bulkhead is full");
            REFUSED.add(1, &[KeyValue::new("target", shared.target.clone())]);
            return Err(transport::refused(Refusal::Bulkhead, "too many calls are under way"));
        }
        let _waiting = Waiting(shared);
        let place = match deadline {
            None => shared.places.acquire().await,
            Some(deadline) => {
                deadline.check()?;
                match timeout_at(deadline.instant(), shared.places.acquire()).await {
                    Ok(place) => place,
                    Err(_) => return Err(too_late()),
                }
            }
        };
        place.expect("the semaphore is never closed").forget();
        let permit = Permit::new(shared);
        // It may have been a long wait.
        deadline.map_or(Ok(()), |deadline| deadline.check())?;
        Ok(permit)
    }

    /// Returns how full it is.
    pub fn state(&self) -> State {
        let shared = &self.0;
        State {
            in_flight: shared.in_flight.load(Relaxed),
            calls: shared.calls.load(Relaxed),
            waiting: shared.waiting.load(Relaxed),
            queue: shared.queue.load(Relaxed),
        }
    }
}

impl Shared {
    fn give_back(&self) {
        let owed = self.owed.fetch_update(Relaxed, Relaxed, |owed| owed.checked_sub(1));
        if owed.is_err() {
            self.places.add_permits(1);
        }
    }
}

/// Leaves the queue however the wait ends.
struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A call's place; free again when it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Shared>);

impl Permit {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(shared))
    }

    /// Keeps the place until the answer's body has ended or is dropped.
    pub fn hold<B>(self, response: Response<B>) -> Response<Held<B>> {
        response.map(|inner| Held { inner, permit: Some(self) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
        self.0.give_back();
    }
}

/// A body that holds its call's place.
pub struct Held<B> {
    inner: B,
    permit: Option<Permit>,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let next = Pin::new(&mut self.inner).poll_frame(cx);
        match &next {
            Poll::Ready(Some(Ok(frame))) if !frame.is_trailers() => {}
            Poll::Pending => {}
            // Nothing follows trailers or an error; who reads no further may keep the body long.
            Poll::Ready(_) => self.permit = None,
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

impl<B> fmt::Debug for Held<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("held", &self.permit.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::FutureExt as _;
    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::Instant;
    use tonic::Code;

    use super::*;
    use crate::refusal::refusal;

    fn bulkhead(calls: usize, queue: usize) -> Bulkhead {
        Bulkhead::new(values::Bulkhead { calls, queue })
    }

    #[tokio::test]
    async fn a_place_is_held_until_the_body_ends() {
        let bulkhead = bulkhead(1, 0);
        let frames = [Frame::data(Bytes::from_static(b"x")), Frame::trailers(HeaderMap::new())];
        let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Status>)));

        let permit = bulkhead.enter(None).await.unwrap();
        let mut body = permit.hold(Response::new(body)).into_body();
        body.frame().await.unwrap().unwrap();
        assert_eq!(bulkhead.state().in_flight, 1);
        assert!(bulkhead.enter(None).await.is_err(), "headers and a message are no end");

        body.frame().await.unwrap().unwrap();
        assert_eq!(bulkhead.state().in_flight, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_a_place_in_turn_or_ends_at_the_deadline() {
        let bulkhead = bulkhead(1, 2);
        let held = bulkhead.enter(None).await.unwrap();
        let begin = Instant::now();
        let soon = Some(Deadline::after(Duration::from_millis(50)));
        let mut patient = Box::pin(bulkhead.enter(None));
        assert!(patient.as_mut().now_or_never().is_none());

        let status = bulkhead.enter(soon).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(refusal(&status), Some(Refusal::Deadline));
        assert_eq!(begin.elapsed(), Duration::from_millis(50));

        drop(held);
        let permit = patient.await.unwrap();
        assert_eq!(bulkhead.state(), State { in_flight: 1, calls: 1, waiting: 0, queue: 2 });
        drop(permit);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_one_who_leaves_it_makes_room() {
        let bulkhead = bulkhead(1, 1);
        let _held = bulkhead.enter(None).await.unwrap();
        let mut waiting = Box::pin(bulkhead.enter(None));
        assert!(waiting.as_mut().now_or_never().is_none());

        let refused = bulkhead.enter(None).now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        drop(waiting);

        assert_eq!(bulkhead.state().waiting, 0);
        assert!(bulkhead.enter(None).now_or_never().is_none(), "it waits");
    }

    #[tokio::test]
    async fn a_lower_limit_holds_once_those_under_way_have_ended() {
        let bulkhead = bulkhead(3, 0);
        let first = bulkhead.enter(None).await.unwrap();
        let second = bulkhead.enter(None).await.unwrap();

        bulkhead.set(values::Bulkhead { calls: 1, queue: 0 });
        drop(first);
        assert!(bulkhead.enter(None).await.is_err());
        drop(second);
        let only = bulkhead.enter(None).await.unwrap();
        assert!(bulkhead.enter(None).await.is_err());

        bulkhead.set(values::Bulkhead { calls: 2, queue: 0 });
        let _other = bulkhead.enter(None).await.unwrap();
        assert!(bulkhead.enter(None).await.is_err());
        drop(only);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_place_is_lost_or_found_among_many() {
        let bulkhead = bulkhead(4, 64);
        let callers: Vec<_> = (0..32)
            .map(|_| {
                let bulkhead = bulkhead.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        let permit = bulkhead.enter(None).await.unwrap();
                        assert!(bulkhead.state().in_flight <= 4);
                        tokio::task::yield_now().await;
                        drop(permit);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }

        assert_eq!(bulkhead.state(), State { in_flight: 0, calls: 4, waiting: 0, queue: 64 });
        let all: Vec<_> = (0..4).map(|_| bulkhead.enter(None).now_or_never().unwrap()).collect();
        assert!(all.iter().all(Result::is_ok));
    }
}
