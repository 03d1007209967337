//! What all calls to one target share: the endpoints, and which of them take calls now.

mod gate;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::uri::Authority;
use mesh_policy::values;
use rand::Rng as _;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    Circuit, Connect, Options, Row, State, Tried,
    breaker::Effect,
    choose::{Candidate, choose},
    connection::End,
    dice::Dice,
    driver,
    endpoint::{Endpoint, Phase},
    latency::Latencies,
    link::Link,
    metrics::Metrics,
};
use gate::{is_gated, takes_calls};

/// The shared part of a balancer.
///
/// A call reads `ready` under a read lock and touches the one or two endpoints it looks at.
/// Everything else happens when a state changes, serialised by `members`. Locks are taken in the
/// order members, breaker, ready; none is held over an await.
pub(super) struct Pool {
    pub(super) target: Arc<str>,
    pub(super) connect: Box<dyn Connect>,
    pub(super) metrics: Metrics,
    pub(super) latencies: Latencies,
    pub(super) ready_changed: Notify,
    pub(super) connect_failed: Notify,
    stop: CancellationToken,
    gated: bool,
    authority: Option<Authority>,
    /// How many endpoints are active.
    pub(super) count: AtomicUsize,
    epoch: Instant,
    dice: Dice,
    next_key: AtomicU64,
    values: RwLock<values::Target>,
    members: Mutex<Members>,
    ready: RwLock<Ready>,
}

#[derive(Default)]
struct Members {
    active: Vec<Arc<Endpoint>>,
    draining: Vec<Arc<Endpoint>>,
}

/// What follows from the members' states.
#[derive(Default)]
struct Ready {
    candidates: Vec<Candidate>,
    /// Those whose breaker is half open.
    probes: Vec<Candidate>,
    /// Whether one may become ready without a call's help.
    hope: bool,
}

/// The answer to a call that asks for an endpoint.
pub(super) enum Choice {
    Found(Chosen),
    /// None now; one may come.
    Wait,
    /// None, and none is to be expected.
    Refuse,
}

/// An endpoint for a call.
pub(super) struct Chosen {
    pub(super) candidate: Candidate,
    /// The generation of its breaker that the call belongs to.
    pub(super) generation: u64,
    pub(super) probe: bool,
    pub(super) at: Instant,
}

impl Pool {
    pub(super) fn new(
        target: &str,
        options: Options,
        connect: Box<dyn Connect>,
        stop: CancellationToken,
    ) -> Self {
        let target: Arc<str> = target.into();
        let Options { values, seed, gated, authority } = options;
        let seed = seed.unwrap_or_else(rand::random);
        Self {
            metrics: Metrics::new(&target),
            target,
            connect,
            latencies: Latencies::default(),
            ready_changed: Notify::new(),
            connect_failed: Notify::new(),
            stop,
            gated,
            authority,
            count: AtomicUsize::new(0),
            epoch: Instant::now(),
            dice: Dice::new(seed),
            next_key: AtomicU64::new(1),
            values: RwLock::new(values),
            members: Mutex::default(),
            ready: RwLock::new(Ready { hope: true, ..Ready::default() }),
        }
    }

    /// Milliseconds of the balancer's clock; they wrap after 49 days.
    pub(super) fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_millis() as u32
    }

    pub(super) fn values(&self) -> RwLockReadGuard<'_, values::Target> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn configure(&self, values: values::Target) {
        *self.values.write().unwrap_or_else(PoisonError::into_inner) = values;
    }

    /// A factor of 0.8 to 1.2.
    pub(super) fn jitter(&self) -> f64 {
        (&self.dice).random_range(0.8..1.2)
    }

    pub(super) fn choose(&self, tried: &Tried) -> Choice {
        let now = Instant::now();
        let values = self.values();
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let may_probe = tried.is_empty() || ready.candidates.is_empty();
        if may_probe && !ready.probes.is_empty() {
            for candidate in &ready.probes {
                let permit = candidate.endpoint.breaker().take_probe(now, &values.breaker);
                if let Some(generation) = permit {
                    candidate.endpoint.breaker_changed.notify_one();
                    let candidate = candidate.clone();
                    return Choice::Found(Chosen { candidate, generation, probe: true, at: now });
                }
            }
        }
        let millis = self.millis(now);
        match choose(&ready.candidates, tried, &values.balance, millis, &self.dice) {
            // It said good-bye a moment ago; the next connection is being made.
            Some(chosen) if chosen.link.is_closing() => Choice::Wait,
            Some(chosen) => {
                let generation = chosen.endpoint.breaker().generation();
                let candidate = chosen.clone();
                Choice::Found(Chosen { candidate, generation, probe: false, at: now })
            }
            None if ready.hope => Choice::Wait,
            None => Choice::Refuse,
        }
    }

    /// Follows the addresses: begins with new ones, parts from those that are gone.
    pub(super) fn follow(self: &Arc<Self>, addresses: &[SocketAddr]) {
        let mut members = self.members();
        let mut kept = Vec::with_capacity(addresses.len());
        for address in addresses {
            if kept.iter().any(|known: &Arc<Endpoint>| known.address == *address) {
                continue;
            }
            let known = members.active.iter().find(|known| known.address == *address);
            kept.push(known.map_or_else(|| self.begin(*address), Arc::clone));
        }
        let gone = |endpoint: &Arc<Endpoint>| !kept.iter().any(|kept| kept.key == endpoint.key);
        let removed: Vec<_> = members.active.iter().filter(|old| gone(old)).cloned().collect();
        members.active = kept;
        self.count.store(members.active.len(), Ordering::Relaxed);
        for endpoint in removed {
            endpoint.removed.cancel();
            endpoint.enter(Phase::Draining, None);
            members.draining.push(endpoint);
        }
        self.refresh(&mut members);
    }

    fn begin(self: &Arc<Self>, address: SocketAddr) -> Arc<Endpoint> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let endpoint =
            Arc::new(Endpoint::new(key, address, self.authority.clone(), self.stop.child_token()));
        tokio::spawn(driver::run(Arc::clone(self), Arc::clone(&endpoint)));
        endpoint
    }

    pub(super) fn connecting(&self, endpoint: &Endpoint) {
        self.enter(endpoint, Phase::Connecting, None);
    }

    /// A connection is there. `fresh` tells that it is not the next of one that aged.
    pub(super) fn connected(&self, endpoint: &Endpoint, link: Arc<Link>, fresh: bool) {
        self.metrics.connected(true);
        let now = Instant::now();
        if fresh {
            endpoint.refresh(self.millis(now));
        }
        let effect = endpoint.breaker().connected(now);
        if effect == Effect::Changed {
            self.announce(endpoint);
        }
        self.enter(endpoint, Phase::Connected(link), None);
    }

    pub(super) fn disconnected(&self, endpoint: &Endpoint, end: End) {
        self.metrics.disconnected(match end {
            End::GoAway(_) => "goaway",
            End::Lost => "lost",
        });
        tracing::debug!(
            target_service = &*self.target,
            endpoint = %endpoint.address,
            ?end,
            "connection ended"
        );
        self.enter(endpoint, Phase::Connecting, None);
    }

    pub(super) fn unreachable(&self, endpoint: &Endpoint, error: Status) {
        self.metrics.connected(false);
        tracing::debug!(
            target_service = &*self.target,
            endpoint = %endpoint.address,
            error = error.message(),
            "not connected"
        );
        let effect = if self.gated {
            let values = self.values().breaker;
            endpoint.breaker().unreachable(Instant::now(), &values, self.jitter())
        } else {
            Effect::Nothing
        };
        if effect == Effect::Changed {
            self.announce(endpoint);
        }
        self.enter(endpoint, Phase::Backoff, Some(error));
        self.connect_failed.notify_one();
    }

    /// The endpoint was removed, or nobody has the balancer any more: its connection is left to the
    /// calls that it has.
    pub(super) fn parted(&self, endpoint: &Endpoint) {
        let mut members = self.members();
        endpoint.enter(Phase::Draining, None);
        self.refresh(&mut members);
    }

    pub(super) fn table(&self) -> Vec<Row> {
        let mut members = self.members();
        members.draining.retain(|endpoint| endpoint.pending.load(Ordering::Relaxed) > 0);
        let values = self.values().balance;
        let now = self.millis(Instant::now());
        let all = members.active.iter().chain(&members.draining);
        all.map(|endpoint| endpoint.row(now, &values)).collect()
    }

    /// The longest that a call waits for an endpoint.
    pub(super) fn max_wait(&self) -> Duration {
        self.values().balance.max_wait
    }

    /// Why there is no endpoint: whether a breaker is open, and what connecting failed with. A
    /// peer that refuses who we are says more than one that is not there.
    pub(super) fn trouble(&self) -> (bool, usize, Option<Arc<Status>>) {
        let members = self.members();
        let open = members.active.iter().any(is_gated);
        let mut errors: Vec<_> =
            members.active.iter().filter_map(|endpoint| endpoint.error()).collect();
        errors.sort_by_key(|error| error.code() != Code::Unauthenticated);
        (open, members.active.len(), errors.into_iter().next())
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, endpoint: &Endpoint, phase: Phase, error: Option<Status>) {
        let mut members = self.members();
        // One that was removed meanwhile keeps its last phase.
        if !endpoint.removed.is_cancelled() {
            endpoint.enter(phase, error);
            self.refresh(&mut members);
        }
    }

    /// Derives who takes calls, and tells those who wait.
    fn refresh(&self, members: &mut Members) {
        members.draining.retain(|endpoint| endpoint.pending.load(Ordering::Relaxed) > 0);
        let had = !self.ready.read().unwrap_or_else(PoisonError::into_inner).candidates.is_empty();
        let mut next = Ready { hope: members.active.is_empty(), ..Ready::default() };
        if had && !members.active.iter().any(takes_calls) {
            self.reconsider(members);
        }
        for endpoint in &members.active {
            let circuit = endpoint.breaker().circuit();
            let Some(link) = endpoint.link() else {
                next.hope |= circuit == Circuit::Closed;
                continue;
            };
            let candidate = Candidate { endpoint: Arc::clone(endpoint), link };
            match circuit {
                Circuit::Closed => next.candidates.push(candidate),
                Circuit::HalfOpen => next.probes.push(candidate),
                Circuit::Open => {}
            }
        }
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.ready_changed.notify_waiters();
        self.count(members);
    }

    fn count(&self, members: &Members) {
        let all = || members.active.iter().chain(&members.draining);
        for state in State::ALL {
            let count = all().filter(|endpoint| endpoint.state() == state).count();
            self.metrics.endpoints(state, count);
        }
        for circuit in [Circuit::Closed, Circuit::Open, Circuit::HalfOpen] {
            let is_so = |endpoint: &&Arc<Endpoint>| endpoint.breaker().circuit() == circuit;
            self.metrics.breakers(circuit, members.active.iter().filter(is_so).count());
        }
    }
}
