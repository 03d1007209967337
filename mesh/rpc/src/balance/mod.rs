//! A balancer for gRPC: knows which endpoints work, and sends each call to the better of two.
//!
//! Each endpoint has one HTTP/2 connection, which is made before anybody calls and made again when
//! it ends. A call is sent to one of two endpoints drawn at random: to that with the smaller
//! product of round trip (peak EWMA) and pending calls. An endpoint is out while it cannot be
//! connected to, while its breaker is open, and while it is worse than the others (gRFC A50). A
//! failure counts as a slow answer, so that an endpoint which fails fast attracts nothing. When the
//! last one goes that took calls, those that could not be reached are tried anew at once.
//!
//! It works alone, as the transport of a generated client:
//!
//! ```no_run
//! use mesh_policy::values;
//! use mesh_proto::operator::v1::{
//!     ListSagasRequest, sagas_service_client::SagasServiceClient,
//! };
//! use mesh_rpc::balance::{Balancer, Tcp};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let addresses = vec!["127.0.0.1:7001".parse()?, "127.0.0.1:7002".parse()?];
//! let balancer = Balancer::new("orders", addresses, values::Target::default(), Tcp);
//! let mut sagas = SagasServiceClient::new(balancer.clone());
//! sagas.list_sagas(ListSagasRequest::default()).await?;
//! for row in balancer.table() {
//!     println!("{} {:?} {:.1} ms", row.address, row.state, row.rtt_ms);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Somebody who repeats calls uses [`Balancer::pick`] with one [`Tried`] for each of them.
//!
//! # Cost
//! A call takes two read locks and the mutexes of one endpoint's breaker for some tens of
//! nanoseconds each, reads the clock three times and clones four `Arc`s; the example `balance_cost`
//! measures it, and `connection_cost` whole calls. State changes cost a look at every endpoint.

mod addresses;
mod answer;
mod breaker;
mod choose;
mod connection;
mod connector;
mod dice;
mod driver;
mod endpoint;
mod ewma;
mod flight;
mod latency;
mod link;
mod metrics;
mod names;
mod outlier;
mod pick;
mod pool;
mod refusal;
mod service;
mod table;
mod tried;
mod upload;
mod verdict;
mod wire;

use std::{
    fmt,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use http::uri::Authority;
use mesh_policy::values;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::Deadline;
pub use addresses::Addresses;
pub(crate) use addresses::Followed;
pub use answer::Answer;
pub use breaker::Circuit;
pub use connector::{Connect, Dialing, Io, Tcp};
pub use pick::Pick;
pub use refusal::{Absence, NoEndpoint};
pub use table::{Row, State};
pub use tried::Tried;

use flight::Flight;
use pool::{Choice, Pool};

/// How a [`Balancer`] behaves. [`values::Target`] turns into one.
#[derive(Clone, Debug)]
pub struct Options {
    /// The values of balancer, breaker, outlier detection and connections.
    pub values: values::Target,
    /// Begins the randomness of picks and pauses; drawn if none, so that processes differ.
    pub seed: Option<u64>,
    /// Whether endpoints are taken out for their answers. Off behind a sidecar, which does that.
    pub gated: bool,
    /// What calls name as their `:authority`, which a sidecar routes by; the endpoint's address if
    /// none.
    pub authority: Option<Authority>,
}

impl From<values::Target> for Options {
    fn from(values: values::Target) -> Self {
        Self { values, seed: None, gated: true, authority: None }
    }
}

/// Picks endpoints of one target. Cheap to clone; clones share everything. When the last is
/// dropped the connections end, each after its calls.
#[derive(Clone)]
pub struct Balancer {
    pool: Arc<Pool>,
    _stop: Arc<DropGuard>,
}

impl Balancer {
    /// Begins to connect to every address of `target`, and follows them as they change: an endpoint
    /// that is gone gets no more calls, and those it has end normally.
    ///
    /// Must be called inside a tokio runtime. Of the values, `balance`, `breaker`, `outlier` and
    /// `connection` are used.
    pub fn new(
        target: &str,
        addresses: impl Addresses,
        options: impl Into<Options>,
        connect: impl Connect,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let pool = Pool::new(target, options.into(), Box::new(connect), stop.clone());
        let pool = Arc::new(pool);
        let mut addresses = addresses;
        pool.follow(&addresses.current());
        let followed = Arc::clone(&pool);
        tokio::spawn(async move {
            let follow = pin!(follow(&followed, addresses));
            stopped.run_until_cancelled(follow).await;
        });
        Self { pool, _stop: Arc::new(stop.drop_guard()) }
    }

    /// Picks an endpoint for one attempt, not one of `tried` if there is another, and adds it to
    /// `tried`.
    ///
    /// Waits for an endpoint to become ready, at most for
    /// [`max_wait`](values::Balance::max_wait) and until `deadline`, and only while one can become
    /// so without a call's help: with every breaker open the refusal comes at once. Dropping the
    /// future leaves no trace.
    ///
    /// # Errors
    /// Each with [`Disposition::NotSent`](crate::Disposition::NotSent) and a [`NoEndpoint`] as
    /// source: UNAVAILABLE if no endpoint is ready, UNAUTHENTICATED if the endpoints refuse this
    /// caller's certificate, DEADLINE_EXCEEDED if `deadline` passes first.
    pub async fn pick(&self, tried: &Tried, deadline: Option<Deadline>) -> Result<Pick, Status> {
        match self.pool.choose(tried) {
            // On the heap, so that the many that need not wait are small.
            Choice::Wait => Box::pin(self.wait(tried, deadline)).await,
            choice => self.decided(choice, tried, deadline),
        }
    }

    /// Returns one row for each endpoint, and for each that is gone but has calls.
    pub fn table(&self) -> Vec<Row> {
        self.pool.table()
    }

    /// Returns how many endpoints the target has now, ready or not.
    pub fn len(&self) -> usize {
        self.pool.count.load(Ordering::Relaxed)
    }

    /// Returns whether the target has no endpoint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the target's name.
    pub fn target(&self) -> &str {
        &self.pool.target
    }

    /// Takes other values from now on; connections keep those that they were made with.
    pub fn configure(&self, values: values::Target) {
        self.pool.configure(values);
    }

    async fn wait(&self, tried: &Tried, deadline: Option<Deadline>) -> Result<Pick, Status> {
        let begin = Instant::now();
        let longest = begin + self.pool.max_wait();
        let until = deadline.map_or(longest, |deadline| deadline.instant().min(longest));
        loop {
            let mut changed = pin!(self.pool.ready_changed.notified());
            // Before looking, so that no change falls in between.
            changed.as_mut().enable();
            match self.pool.choose(tried) {
                Choice::Wait => {}
                choice => {
                    self.pool.metrics.waited(begin.elapsed().as_secs_f64());
                    return self.decided(choice, tried, deadline);
                }
            }
            if timeout_at(until, changed).await.is_err() {
                self.pool.metrics.waited(begin.elapsed().as_secs_f64());
                return Err(match deadline {
                    Some(deadline) if deadline.remaining().is_zero() => refusal::late(&self.pool),
                    _ => refusal::absent(&self.pool),
                });
            }
        }
    }

    fn decided(
        &self,
        choice: Choice,
        tried: &Tried,
        deadline: Option<Deadline>,
    ) -> Result<Pick, Status> {
        let Choice::Found(chosen) = choice else {
            return Err(refusal::absent(&self.pool));
        };
        let endpoint = &chosen.candidate.endpoint;
        tried.add(endpoint.key);
        tracing::debug!(endpoint = %endpoint.address, probe = chosen.probe, "endpoint picked");
        Ok(Pick::new(Flight::new(Arc::clone(&self.pool), chosen, deadline)))
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").field("target", &self.target()).finish_non_exhaustive()
    }
}

/// Follows the addresses, and compares the endpoints from time to time.
async fn follow(pool: &Arc<Pool>, mut addresses: impl Addresses) {
    let mut last = false;
    let mut compare = pin!(sleep(pool.values().outlier.interval));
    loop {
        tokio::select! {
            more = addresses.changed(), if !last => match more {
                true => pool.follow(&addresses.current()),
                false => last = true,
            },
            () = pool.connect_failed.notified() => addresses.connect_failed(),
            () = &mut compare => {
                pool.compare();
                compare.as_mut().reset(Instant::now() + pool.values().outlier.interval);
            }
        }
    }
}
