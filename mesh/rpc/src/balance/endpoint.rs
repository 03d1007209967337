//! One address: its connection, its load, its breaker, and what is known of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::uri::Authority;
use mesh_policy::values;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    breaker::{Breaker, Circuit},
    ewma::PeakEwma,
    link::Link,
    outlier::Tally,
    table::{Row, State},
};

/// An endpoint. Known by its key, which is never used again.
pub(super) struct Endpoint {
    pub(super) key: u64,
    pub(super) address: SocketAddr,
    pub(super) authority: Authority,
    pub(super) rtt: PeakEwma,
    pub(super) pending: AtomicU32,
    pub(super) calls: AtomicU64,
    pub(super) failures: AtomicU64,
    /// When it last answered that it works or has too much to do, on the same clock.
    pub(super) answered: AtomicU32,
    /// When it was last picked, in milliseconds of the balancer's clock.
    pub(super) picked: AtomicU32,
    /// When its share began to rise.
    pub(super) warm_since: AtomicU32,
    /// Not picked since it became ready.
    pub(super) untried: AtomicBool,
    pub(super) interval: IntervalCounts,
    breaker: Mutex<Breaker>,
    pub(super) breaker_changed: Notify,
    /// Asks for a connection at once.
    pub(super) kick: Notify,
    pub(super) removed: CancellationToken,
    status: Mutex<Line>,
}

/// Calls since the last comparison with the others.
#[derive(Debug, Default)]
pub(super) struct IntervalCounts {
    pub(super) calls: AtomicU32,
    pub(super) failures: AtomicU32,
}

impl IntervalCounts {
    pub(super) fn take(&self) -> Tally {
        let calls = self.calls.swap(0, Ordering::Relaxed);
        let failures = self.failures.swap(0, Ordering::Relaxed).min(calls);
        Tally { calls, failures }
    }
}

/// How far the connection is.
struct Line {
    phase: Phase,
    since: SystemTime,
    /// Why the last connection could not be made.
    error: Option<Arc<Status>>,
}

#[derive(Clone)]
pub(super) enum Phase {
    Idle,
    Connecting,
    Connected(Arc<Link>),
    Backoff,
    Draining,
}

impl Endpoint {
    pub(super) fn new(
        key: u64,
        address: SocketAddr,
        authority: Option<Authority>,
        removed: CancellationToken,
    ) -> Self {
        let authority = authority.unwrap_or_else(|| {
            let own = Authority::try_from(address.to_string().as_str());
            own.expect("an address and a port are an authority")
        });
        let line = Line { phase: Phase::Idle, since: SystemTime::now(), error: None };
        Self {
            key,
            address,
            authority,
            rtt: PeakEwma::default(),
            pending: AtomicU32::new(0),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            answered: AtomicU32::new(0),
            picked: AtomicU32::new(0),
            warm_since: AtomicU32::new(0),
            untried: AtomicBool::new(true),
            interval: IntervalCounts::default(),
            breaker: Mutex::new(Breaker::new(Instant::now())),
            breaker_changed: Notify::new(),
            kick: Notify::new(),
            removed,
            status: Mutex::new(line),
        }
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn link(&self) -> Option<Arc<Link>> {
        match &self.line().phase {
            Phase::Connected(link) => Some(Arc::clone(link)),
            _ => None,
        }
    }

    /// Why it could not be connected to, if that is so.
    pub(super) fn error(&self) -> Option<Arc<Status>> {
        self.line().error.clone()
    }

    /// Begins a phase. A success forgets the last error, and so does nothing else.
    pub(super) fn enter(&self, phase: Phase, error: Option<Status>) {
        let mut line = self.line();
        if matches!(phase, Phase::Connected(_)) {
            line.error = None;
        }
        if let Some(error) = error {
            line.error = Some(Arc::new(error));
        }
        line.phase = phase;
        line.since = SystemTime::now();
    }

    /// Begins anew with what was learned: it was away, and may be another process now.
    pub(super) fn refresh(&self, now: u32) {
        self.rtt.reset();
        self.warm_since.store(now, Ordering::Relaxed);
        self.untried.store(true, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> State {
        let circuit = self.breaker().circuit();
        match (&self.line().phase, circuit) {
            (Phase::Connected(_), Circuit::Closed) => State::Ready,
            (Phase::Connected(_), Circuit::Open | Circuit::HalfOpen) => State::Gated,
            (Phase::Idle, _) => State::Idle,
            (Phase::Connecting, _) => State::Connecting,
            (Phase::Backoff, _) => State::Backoff,
            (Phase::Draining, _) => State::Draining,
        }
    }

    pub(super) fn row(&self, now: u32, values: &values::Balance) -> Row {
        let state = self.state();
        let (breaker, generation, verdict) = {
            let breaker = self.breaker();
            (breaker.circuit(), breaker.generation(), breaker.reason())
        };
        let line = self.line();
        let since = line.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let max_streams = match &line.phase {
            Phase::Connected(link) => Some(link.max_streams()).filter(|max| *max < u32::MAX),
            _ => None,
        };
        let reason = match (&line.error, breaker) {
            (Some(error), _) => error.message().to_owned(),
            (None, Circuit::Closed) => String::new(),
            (None, _) => verdict.as_str().to_owned(),
        };
        Row {
            address: self.address,
            state,
            breaker,
            rtt_ms: f64::from(self.rtt.estimate(now, values.decay, values.default_rtt)) / 1000.0,
            pending: self.pending.load(Ordering::Relaxed),
            max_streams,
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            reason,
            since: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            generation,
        }
    }

    /// Notes that the state changed for another reason than the connection.
    pub(super) fn touch(&self) {
        self.line().since = SystemTime::now();
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
