//! Bounds how many calls are worked on, and decides which are not answered when that is too few.

mod queue;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::request::Parts;
use mesh_policy::values;
use opentelemetry::{KeyValue, metrics::Counter};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tonic::Status;

use super::{Criticality, Gate, Refused, refusal::refused};
use crate::{Deadline, criticality, refusal::Refusal};
use queue::{Out, Queue, Ticket, Word};

/// A call without a deadline waits no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// What a caller is told at least and at most to wait before it comes back.
const PUSHBACK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How much the newest call says about how long calls take.
const SMOOTHING: f64 = 0.05;
/// A stream says little about how soon a place gets free.
const LONGEST_SAMPLE: f64 = 1.0;

static SHED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.shed")
        .with_description("Calls not answered because too many came")
        .build()
});

/// Bounds the calls that a process works on at once, and those that wait for a place.
///
/// A call is under way until its response's body ends or is dropped. When the queue is full, what
/// is shed is first what has expired, then the least [critical](Criticality), and among those what
/// has the least time left. A place goes to the most critical, the oldest first; once the queue
/// stands (its oldest waited 50 ms) the newest first, because the oldest would be answered too
/// late. Waiting ends at the call's deadline with DEADLINE_EXCEEDED, shedding is
/// [`Refusal::Overloaded`] with a pushback of the time the queue needs, ±20 %.
///
/// Costs two uncontended locks per call; a call that waits costs the logarithm of the queue.
///
/// ```
/// use mesh_policy::values;
/// use mesh_rpc::server::{Criticality, Gate as _, Shed};
///
/// let shed = Shed::new(values::Bulkhead { calls: 64, queue: 128 }).classified(|path| match path {
///     "grpc.health.v1.Health/Check" | "grpc.health.v1.Health/Watch" => None, // never shed
///     "shop.orders.v1.OrdersService/PlaceOrder" => Some(Criticality::Critical),
///     _ => Some(Criticality::Default),
/// });
/// let server = tonic::transport::Server::builder().layer(shed.layer());
/// # drop(server);
/// ```
#[derive(Clone)]
pub struct Shed {
    shared: Arc<Shared>,
    classify: Arc<Classify>,
}

type Classify = dyn Fn(&str) -> Option<Criticality> + Send + Sync;

struct Shared {
    state: Mutex<State>,
}

struct State {
    bounds: values::Bulkhead,
    in_flight: usize,
    queue: Queue,
    /// How long a call keeps its place, in seconds.
    hold: f64,
    shed: [u64; 3],
    expired: u64,
    random: SmallRng,
}

/// A place among the calls that are worked on; free again when it is dropped.
pub struct Permit {
    shared: Arc<Shared>,
    since: Instant,
}

/// What [`Shed`] is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShedNumbers {
    /// Calls that may be under way, and that may wait.
    pub bounds: values::Bulkhead,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls that wait.
    pub queued: usize,
    /// Calls turned away so far, by class: sheddable, default, critical.
    pub shed: [u64; 3],
    /// Calls whose deadline passed while they waited.
    pub expired: u64,
}

impl Shed {
    /// Bounds the calls under way to `bounds.calls`, and those that wait to `bounds.queue`.
    pub fn new(bounds: values::Bulkhead) -> Self {
        Self::seeded(bounds, rand::random())
    }

    /// The same, with pushbacks drawn from `seed`.
    pub fn seeded(bounds: values::Bulkhead, seed: u64) -> Self {
        let state = State {
            bounds,
            in_flight: 0,
            queue: Queue::default(),
            hold: 0.0,
            shed: [0; 3],
            expired: 0,
            random: SmallRng::seed_from_u64(seed),
        };
        let classify: Arc<Classify> = Arc::new(|path| {
            (!path.starts_with("grpc.health.v1.Health/")).then_some(Criticality::Default)
        });
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }), classify }
    }

    /// Asks `classify` how critical the contract calls `package.Service/Method`; none is let in
    /// always, and uncounted. Without it all are `Default`, and health is always let in.
    pub fn classified(
        mut self,
        classify: impl Fn(&str) -> Option<Criticality> + Send + Sync + 'static,
    ) -> Self {
        self.classify = Arc::new(classify);
        self
    }

    /// Changes the bounds. Calls under way and waiting stay; a place that is new is given at once.
    pub fn set(&self, bounds: values::Bulkhead) {
        let mut state = self.shared.lock();
        state.bounds = bounds;
        self.shared.give(state);
    }

    /// Gets a place, waits for one, or says why not.
    pub async fn enter(
        &self,
        class: Criticality,
        deadline: Option<Deadline>,
    ) -> Result<Permit, Status> {
        let now = Instant::now();
        let until = deadline.map_or_else(|| now + LONGEST_WAIT, |deadline| deadline.instant());
        // The place in the queue is dropped first, so that no permit is sent to one who has left.
        let (mut told, _waiting) = match self.shared.begin(class, now, until) {
            Begun::Now(permit) => return Ok(permit),
            Begun::Waiting(told, waiting) => (told, waiting),
            Begun::Refused(refusal) => {
                count(class, "refused");
                return Err(refusal.into());
            }
        };
        match timeout_at(until, &mut told).await {
            Ok(Ok(Ok(permit))) => Ok(permit),
            Ok(Ok(Err(Out::Evicted))) => {
                count(class, "evicted");
                Err(self.shared.lock().overloaded().into())
            }
            Ok(Ok(Err(Out::Expired))) => {
                count(class, "expired");
                Err(refused(Refusal::Deadline))
            }
            Ok(Err(_)) | Err(_) => {
                self.shared.lock().expired += 1;
                count(class, "expired");
                match deadline {
                    Some(_) => Err(refused(Refusal::Deadline)),
                    None => Err(self.shared.lock().overloaded().into()),
                }
            }
        }
    }

    /// Returns what it is doing.
    pub fn numbers(&self) -> ShedNumbers {
        let state = self.shared.lock();
        ShedNumbers {
            bounds: state.bounds,
            in_flight: state.in_flight,
            queued: state.queue.len(),
            shed: state.shed,
            expired: state.expired,
        }
    }
}

impl Gate for Shed {
    type Pass = Option<Permit>;

    async fn admit(&self, head: &Parts) -> Result<Self::Pass, Status> {
        let path = head.uri.path().trim_start_matches('/');
        let Some(contract) = (self.classify)(path) else { return Ok(None) };
        let class = criticality::of(&head.headers, contract);
        let deadline = head.extensions.get().copied();
        self.enter(class, deadline).await.map(Some)
    }
}

impl fmt::Debug for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shed").field(&self.numbers()).finish()
    }
}

enum Begun {
    Now(Permit),
    Waiting(oneshot::Receiver<Word>, Waiting),
    Refused(Refused),
}

/// A place in the queue, given up when it is dropped.
struct Waiting {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.lock().queue.remove(self.ticket);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>, class: Criticality, now: Instant, until: Instant) -> Begun {
        let mut state = self.lock();
        if state.in_flight < state.bounds.calls && state.queue.is_empty() {
            state.in_flight += 1;
            return Begun::Now(Permit { shared: Arc::clone(self), since: now });
        }
        let mut out = None;
        if state.queue.len() >= state.bounds.queue {
            if let Some((_, word)) = state.queue.expired(now) {
                state.expired += 1;
                out = Some((word, Out::Expired));
            } else if let Some((lower, word)) = state.queue.less_than(class, until) {
                state.shed[lower as usize] += 1;
                out = Some((word, Out::Evicted));
            } else {
                state.shed[class as usize] += 1;
                return Begun::Refused(state.overloaded());
            }
        }
        let (word, told) = oneshot::channel();
        let ticket = state.queue.push(class, now, until, word);
        drop(state);
        if let Some((word, out)) = out {
            let _ = word.send(Err(out));
        }
        Begun::Waiting(told, Waiting { shared: Arc::clone(self), ticket })
    }

    /// Gives free places to those who wait.
    fn give(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let now = Instant::now();
        let mut words = Vec::new();
        while !state.queue.is_empty() && state.in_flight < state.bounds.calls {
            if let Some((_, word)) = state.queue.expired(now) {
                state.expired += 1;
                words.push((word, Err(Out::Expired)));
            } else if let Some(word) = state.queue.next(now) {
                state.in_flight += 1;
                words.push((word, Ok(Permit { shared: Arc::clone(self), since: now })));
            }
        }
        // A permit that cannot be sent is dropped, and dropping it takes the lock.
        drop(state);
        for (word, told) in words {
            drop(word.send(told));
        }
    }
}

impl State {
    fn overloaded(&mut self) -> Refused {
        let (least, most) = PUSHBACK;
        let turns = (self.queue.len() + 1) as f64 / self.bounds.calls.max(1) as f64;
        let seconds = self.hold * turns * self.random.random_range(0.8..1.2);
        Refused::for_now(Refusal::Overloaded, Duration::from_secs_f64(seconds).clamp(least, most))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let hold = self.since.elapsed().as_secs_f64().min(LONGEST_SAMPLE);
        let mut state = self.shared.lock();
        state.in_flight -= 1;
        state.hold += SMOOTHING * (hold - state.hold);
        if !state.queue.is_empty() {
            self.shared.give(state);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("since", &self.since).finish_non_exhaustive()
    }
}

fn count(class: Criticality, how: &'static str) {
    SHED.add(1, &[KeyValue::new("class", class.as_str()), KeyValue::new("how", how)]);
}
