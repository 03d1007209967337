//! How often somebody may call.
//!
//! The algorithm is a page of our own rather than the `governor` crate: its keyed store has no
//! bound but a scan over all keys, its clock is not tokio's, so tests could not pause it, its rates
//! cannot be changed without forgetting everybody, and it would charge all callers' common rate
//! for calls that the caller's own rate then refuses.

mod gcra;
mod recent;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Extensions, request::Parts};
use mesh_policy::values::Rate;
use opentelemetry::{KeyValue, metrics::Counter};
use tokio::time::Instant;
use tonic::Status;

use super::{Gate, Refused};
use crate::refusal::Refusal;
pub(super) use gcra::{Due, arrive};
pub use recent::Recent;

/// Callers that are remembered.
const MAX_KEYS: usize = 10_000;
/// Whose identity is not known; they share one rate.
const ANONYMOUS: &str = "";

static LIMITED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.rate_limited")
        .with_description("Calls refused because their caller, or all together, call too often")
        .build()
});

/// Refuses calls that come more often than a rate, of all callers together and of each one.
///
/// Who calls is what a closure finds in the request's extensions, where only an authenticated
/// identity belongs: a header is anybody's invention. Callers without one share one rate. Nothing
/// ever waits: refusals are [`Refusal::RateLimited`] with the time until the next call is allowed.
/// A call is charged to the common rate only if its caller's own allows it, so one who calls too
/// often takes nothing from the others. At most 10,000 callers are remembered; one who was
/// forgotten has its full burst again.
///
/// Costs one atomic load while no rate is set; else one lock, a look-up and no allocation for a
/// caller that is known.
///
/// ```
/// use std::sync::Arc;
///
/// use mesh_policy::values::Rate;
/// use mesh_rpc::server::{Gate as _, RateLimit};
///
/// #[derive(Clone)]
/// struct Caller(Arc<str>);
///
/// let limit = RateLimit::new(|extensions| extensions.get().map(|Caller(name)| Arc::clone(name)));
/// limit.set(None, Some(Rate { per_second: 100.0, burst: 20 }));
/// let server = tonic::transport::Server::builder().layer(limit.layer());
/// # drop(server);
/// ```
#[derive(Clone)]
pub struct RateLimit {
    shared: Arc<Shared>,
}

type Key = dyn Fn(&Extensions) -> Option<Arc<str>> + Send + Sync;

struct Shared {
    key: Box<Key>,
    anonymous: Arc<str>,
    on: AtomicBool,
    state: Mutex<State>,
}

struct State {
    total: Option<Rate>,
    peer: Option<Rate>,
    due: Due,
    peers: Recent<Arc<str>, Instant>,
    limited: Limited,
}

/// What [`RateLimit`] is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateNumbers {
    /// The rate of all callers together.
    pub total: Option<Rate>,
    /// The rate of each caller.
    pub peer: Option<Rate>,
    /// Callers that are remembered.
    pub keys: usize,
    /// Calls refused so far.
    pub limited: Limited,
}

/// Calls refused, by whose rate it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// That of all callers together.
    pub total: u64,
    /// That of the caller.
    pub peer: u64,
}

impl RateLimit {
    /// No rate yet; `key` finds the caller's authenticated name.
    pub fn new(key: impl Fn(&Extensions) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        let state = State {
            total: None,
            peer: None,
            due: None,
            peers: Recent::new(MAX_KEYS),
            limited: Limited::default(),
        };
        let shared = Shared {
            key: Box::new(key),
            anonymous: Arc::from(ANONYMOUS),
            on: AtomicBool::new(false),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the rate of all callers together and that of each; none is no limit.
    ///
    /// What callers have used up of their bursts stays used up, unless they had no rate before.
    pub fn set(&self, total: Option<Rate>, peer: Option<Rate>) {
        let mut state = self.shared.lock();
        if peer.is_none() {
            state.peers.clear();
        }
        (state.total, state.peer) = (total, peer);
        self.shared.on.store(total.is_some() || peer.is_some(), Ordering::Release);
    }

    /// Counts a call, or says when it may come again.
    pub fn check(&self, extensions: &Extensions) -> Result<(), Refused> {
        if !self.shared.on.load(Ordering::Acquire) {
            return Ok(());
        }
        let key = (self.shared.key)(extensions);
        let key = key.unwrap_or_else(|| Arc::clone(&self.shared.anonymous));
        self.shared.lock().arrive(key, Instant::now())
    }

    /// Returns what it is doing.
    pub fn numbers(&self) -> RateNumbers {
        let state = self.shared.lock();
        RateNumbers {
            total: state.total,
            peer: state.peer,
            keys: state.peers.len(),
            limited: state.limited,
        }
    }
}

impl Gate for RateLimit {
    type Pass = ();

    async fn admit(&self, head: &Parts) -> Result<(), Status> {
        self.check(&head.extensions).map_err(Status::from)
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimit").field(&self.numbers()).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn arrive(&mut self, key: Arc<str>, now: Instant) -> Result<(), Refused> {
        let total = self.total.map(|rate| arrive(&rate, self.due, now)).transpose();
        let total = total.map_err(|retry_in| {
            self.limited.total += 1;
            LIMITED.add(1, &[KeyValue::new("scope", "total")]);
            Refused::for_now(Refusal::RateLimited, retry_in)
        })?;
        if let Some(rate) = self.peer {
            let known = self.peers.get(&key);
            match arrive(&rate, known, now) {
                Ok(due) => self.peers.put(key, due),
                Err(retry_in) => {
                    // Used again, or one who never stops would be forgotten and begin anew.
                    self.peers.put(key, known.unwrap_or(now));
                    self.limited.peer += 1;
                    LIMITED.add(1, &[KeyValue::new("scope", "peer")]);
                    return Err(Refused::for_now(Refusal::RateLimited, retry_in));
                }
            }
        }
        if total.is_some() {
            self.due = total;
        }
        Ok(())
    }
}
