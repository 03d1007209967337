//! Drives the sagas of one replica.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_log::{Stored, Streams};
use mesh_runtime::{
    Service, correlation,
    trace::{self, TraceContext},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field::Empty};
use uuid::Uuid;

use crate::{Describe, Saga, drive::Driver, metrics::Metrics};

/// How many sagas run their calls at once; others wait.
const CONCURRENCY: usize = 1024;
/// How often the database is asked for sagas that nobody drives.
const SWEEP: Duration = Duration::from_secs(5);

/// Drives every saga whose stream this replica owns. Cheap to clone.
pub struct Engine<S: Saga> {
    pub(crate) inner: Arc<Inner<S>>,
}

impl<S: Saga> Clone for Engine<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Saga> std::fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("driven", &self.inner.lock().len()).finish_non_exhaustive()
    }
}

pub(crate) struct Inner<S: Saga> {
    pub(crate) saga: S,
    pub(crate) streams: Streams<S::Companion>,
    pub(crate) service: Service,
    pub(crate) slots: Semaphore,
    pub(crate) metrics: Metrics,
    /// Cancelled when no further step is begun here.
    pub(crate) closing: CancellationToken,
    driven: Mutex<HashMap<Uuid, Arc<Notify>>>,
}

impl<S: Describe> Engine<S> {
    /// Starts driving: first what an earlier process left, then what is handed in.
    ///
    /// When the service drains, steps under way are finished and recorded, and no others begun: what
    /// is left is for whoever owns the streams next.
    pub fn start(service: &Service, streams: Streams<S::Companion>, saga: S) -> Self {
        let inner = Inner {
            saga,
            streams,
            service: service.clone(),
            slots: Semaphore::new(CONCURRENCY),
            metrics: Metrics::new(service.name()),
            closing: CancellationToken::new(),
            driven: Mutex::default(),
        };
        let engine = Self { inner: Arc::new(inner) };
        service.spawn("sagas closing", close(service.clone(), engine.inner.closing.clone()));
        let recovering = engine.clone();
        let stopped = service.stopped();
        service.spawn("sagas", async move {
            stopped.run_until_cancelled(recovering.recover()).await;
        });
        engine
    }

    /// Returns whether it begins no further steps, since the service drains.
    pub fn is_closing(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    /// Picks up what this replica owns and does not drive: after a start, a takeover, a new id.
    async fn recover(&self) {
        let replica = self.inner.streams.database().replica();
        let (mut ids, mut takeovers) = (replica.ids(), replica.takeovers());
        loop {
            ids.mark_unchanged();
            takeovers.mark_unchanged();
            if let Some(owner) = replica.id() {
                match self.inner.streams.awake(owner).await {
                    Ok(awake) => self.sweep(&awake),
                    Err(error) => tracing::warn!(%error, "sagas could not be looked up"),
                }
            }
            tokio::select! {
                _ = ids.changed() => (),
                _ = takeovers.changed() => (),
                () = sleep(SWEEP) => (),
            }
        }
    }

    fn sweep(&self, awake: &[(Uuid, Stored)]) {
        let (mut parked, mut oldest) = (0, 0.0_f64);
        for (id, stored) in awake {
            let standing = self.inner.saga.decode(*id, stored);
            if standing.is_ok_and(|state| self.inner.saga.describe(&state).parked) {
                parked += 1;
                continue;
            }
            let age = stored.awake_for.unwrap_or_default().as_secs_f64();
            oldest = oldest.max(age);
            // Those that run are not disturbed.
            if !self.inner.lock().contains_key(id) {
                self.resume(*id, stored);
            }
        }
        self.inner.metrics.swept(awake.len() as u64, parked, oldest);
    }
}

impl<S: Saga> Engine<S> {
    /// The saga that is driven.
    pub fn saga(&self) -> &S {
        &self.inner.saga
    }

    /// The streams that the sagas run on.
    pub fn streams(&self) -> &Streams<S::Companion> {
        &self.inner.streams
    }

    /// The replica that a change made here should name as its owner.
    pub fn owner(&self) -> Option<Uuid> {
        self.inner.streams.database().replica().id()
    }

    /// Drives a stream that was just changed here. If it is driven already, its driver looks at it
    /// again at once.
    pub fn drive(&self, id: Uuid, state: S::State) {
        self.begin(id, Driver::fresh(state), trace::current(), Source::Change);
    }

    /// As [`drive`](Self::drive), for a stream that was loaded.
    pub fn resume(&self, id: Uuid, stored: &Stored) {
        self.resume_for(id, stored, None);
    }

    fn resume_for(&self, id: Uuid, stored: &Stored, cause: Option<TraceContext>) {
        match self.inner.saga.decode(id, stored) {
            Ok(state) => self.begin(id, Driver::resumed(state, stored), cause, Source::Stream),
            // It stays awake, and is seen by every sweep and by its age in the metrics.
            Err(error) => tracing::error!(saga_id = %id, %error, "saga cannot be resumed"),
        }
    }

    fn begin(&self, id: Uuid, driver: Driver<S>, cause: Option<TraceContext>, source: Source) {
        let changed = Arc::new(Notify::new());
        {
            let mut driven = self.inner.lock();
            if let Some(running) = driven.get(&id) {
                running.notify_one();
                return;
            }
            driven.insert(id, Arc::clone(&changed));
        }
        let inner = Arc::clone(&self.inner);
        let stopped = inner.service.stopped();
        let driving = async move {
            let driven = Driven::new(&inner, id);
            if source == Source::Stream {
                inner.recall(id).await;
            }
            let ended = stopped.run_until_cancelled(driver.run(&inner, id, &changed)).await;
            drop(driven);
            // Somebody asked for another look after the last one.
            if ended.is_some() && changed.notified_now() {
                Engine { inner }.look_again(id).await;
            }
        };
        let span = span(id, cause);
        if source == Source::Change
            && let Some(story) = correlation::current()
        {
            correlation::note(&span, &story);
        }
        tokio::spawn(driving.instrument(span));
    }

    async fn look_again(&self, id: Uuid) {
        if let Ok(Some(stored)) = self.inner.streams.load(id).await
            && stored.awake_for.is_some()
        {
            self.resume_for(id, &stored, trace::current());
        }
    }
}

impl<S: Saga> Inner<S> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Notify>>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes on the current span which story the saga belongs to, and links it, if it is sent somewhere,
    /// to the trace in which that began: the process that began it may be gone, and its span with it.
    async fn recall(&self, id: Uuid) {
        // A saga goes on without.
        let Ok(events) = self.streams.events(id, 0).await else { return };
        let Some(first) = events.first() else { return };
        if !first.meta.correlation_id.is_empty() {
            correlation::note(&Span::current(), &first.meta.correlation_id);
        }
        if let Some(here) = trace::sampled()
            && let Ok(there) = first.meta.traceparent.parse::<TraceContext>()
            && there.trace_id != here.trace_id
        {
            trace::link(&Span::current(), there);
        }
    }
}

/// What a driver knows its saga from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A change that was just made here.
    Change,
    /// The stream, which somebody changed at some time.
    Stream,
}

/// A saga that has a driver, until that ends: a panic must not keep the next sweep from driving it.
struct Driven<'a, S: Saga> {
    inner: &'a Inner<S>,
    id: Uuid,
}

impl<'a, S: Saga> Driven<'a, S> {
    fn new(inner: &'a Inner<S>, id: Uuid) -> Self {
        inner.metrics.driving(1);
        Self { inner, id }
    }
}

impl<S: Saga> Drop for Driven<'_, S> {
    fn drop(&mut self) {
        self.inner.lock().remove(&self.id);
        self.inner.metrics.driving(-1);
    }
}

/// The span of a saga: in the trace of what set it going, but not inside that span, which ends sooner;
/// in a new one if that is not known. It has the level of errors, so that a quieter log does not cost
/// the trace.
fn span(id: Uuid, cause: Option<TraceContext>) -> Span {
    trace::begin(cause, || {
        tracing::error_span!(
            parent: None,
            "saga",
            otel.kind = "internal",
            saga_id = %id,
            correlation_id = Empty,
        )
    })
}

/// Ends the beginning of steps as the service's port is closed.
async fn close(service: Service, closing: CancellationToken) {
    service.draining().cancelled().await;
    let _ = service.stopped().run_until_cancelled(sleep(service.pre_stop())).await;
    closing.cancel();
}

/// Whether a notification waits, without waiting for one.
trait NotifiedNow {
    fn notified_now(&self) -> bool;
}

impl NotifiedNow for Notify {
    fn notified_now(&self) -> bool {
        let mut notified = std::pin::pin!(self.notified());
        notified.as_mut().enable()
    }
}
