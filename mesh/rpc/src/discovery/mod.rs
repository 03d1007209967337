//! Discovery: where the endpoints of a service are, and what becomes of them.
//!
//! A [`Source`] is text such as `dns:orders.shop.svc.cluster.local`; [`Endpoints::follow`] turns it
//! into a set of addresses that changes as the world does. What never happens is that a failing
//! name service empties the set: addresses that nobody could confirm are served on, as
//! [`State::Stale`], and are dropped only when they are said to be gone twice in a row.
//!
//! ```no_run
//! use mesh_rpc::discovery::{Endpoints, Source};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let source: Source = "dns:orders.shop.svc.cluster.local:50051".parse()?;
//! let endpoints = Endpoints::follow(&source);
//!
//! let mut changes = endpoints.watch();
//! while changes.changed().await.is_ok() {
//!     let now = changes.borrow_and_update().clone();
//!     println!("{:?}: {:?}", now.state, now.addresses);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here is on the path of a call: readers look at a [`tokio::sync::watch`], and each
//! source that can change costs one task, which sleeps between look-ups.
//!
//! The rules for DNS:
//!
//! - A name without a port is asked for its SRV records (RFC 2782), and for A, else AAAA, records
//!   if it has none; those then mean port [`DEFAULT_PORT`]. A name with a port is asked for
//!   addresses only: the SRV records of a name in Kubernetes list all ports of its pods.
//! - Of SRV records, those of the lowest priority that have addresses count. Weights do not: a
//!   balancer that measures knows better. Targets are looked up unless the answer brings their
//!   addresses along.
//! - A name is always a full one; no search list is tried.
//! - Answers are asked for again after their TTL, between [`Settings::min_ttl`] and
//!   [`Settings::max_ttl`], ±10 %; nothing is cached. After [`Endpoints::connect_failed`] they are
//!   asked for at once, but no sooner than [`Settings::gap`] after the last time.
//! - SERVFAIL, a timeout or an unreachable nameserver keep the last set. NXDOMAIN or an empty
//!   answer does so once, because name services flap, and empties it when it is repeated.

pub mod consul;

mod dns;
mod file;
mod follow;
mod known;
mod report;
mod schedule;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use http::uri::Authority;
pub use mesh_runtime::{DnsName, Source};
use tokio::sync::{Notify, watch};

use known::Details;
pub use report::Report;

/// The port of addresses that come without one: from a name without a port or SRV records.
pub const DEFAULT_PORT: u16 = 50051;

/// The endpoints of one service, as they change. Cheap to clone.
///
/// They are followed until the last clone and the last [`watch`](Self::watch) is dropped.
#[derive(Clone)]
pub struct Endpoints {
    shared: Arc<Shared>,
}

/// What is known of a service's endpoints at one moment. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The addresses, sorted and each once.
    pub addresses: Arc<[SocketAddr]>,
    /// What they are worth.
    pub state: State,
    /// Whether a sidecar stands before the service. There is one address at most, and balancing
    /// and ejection are the sidecar's business.
    pub sidecar: bool,
}

/// What a set of addresses is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known yet; who needs an endpoint waits.
    Pending,
    /// The source said so when it was last asked.
    Fresh,
    /// The source could not be asked, or took back once what it had said: the last known ones.
    Stale,
    /// The source said, twice in a row, that there is none.
    Gone,
}

/// How sources are followed. The defaults are those of production.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The shortest time between look-ups that nothing hurries; 5 s.
    pub min_ttl: Duration,
    /// The longest; 30 s.
    pub max_ttl: Duration,
    /// What each is drawn from around it, as a share, so that clients do not ask together; 0.1.
    pub spread: f64,
    /// The shortest time between any two look-ups; 1 s.
    pub gap: Duration,
    /// How long a nameserver may take; 1 s.
    pub timeout: Duration,
    /// How often nameservers are asked before that counts as a failure, at least once; 2.
    pub attempts: usize,
    /// How often a file is looked at; 1 s.
    pub file_interval: Duration,
    /// Makes the spread the same each time, for tests.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_ttl: Duration::from_secs(5),
            max_ttl: Duration::from_secs(30),
            spread: 0.1,
            gap: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            attempts: 2,
            file_interval: Duration::from_secs(1),
            seed: None,
        }
    }
}

struct Shared {
    source: String,
    authority: Option<Authority>,
    snapshots: watch::Receiver<Snapshot>,
    details: watch::Receiver<Details>,
    hint: Arc<Notify>,
    /// Keeps the watches of addresses that do not change from looking closed.
    _fixed: Option<(watch::Sender<Snapshot>, watch::Sender<Details>)>,
}

impl Endpoints {
    /// Follows `source` with the default [`Settings`].
    ///
    /// Addresses that need no look-up are there at once; else the state is
    /// [`Pending`](State::Pending) until the first answer.
    ///
    /// # Panics
    /// Outside a tokio runtime, if the source needs look-ups.
    pub fn follow(source: &Source) -> Self {
        Self::follow_with(source, Settings::default())
    }

    /// Follows `source` in another way.
    ///
    /// # Panics
    /// As [`follow`](Self::follow) does.
    pub fn follow_with(source: &Source, settings: Settings) -> Self {
        follow::begin(source, settings)
    }

    /// Endpoints that do not change.
    pub fn fixed(addresses: &[SocketAddr]) -> Self {
        Self::unchanging(&Source::Static(addresses.to_vec()), addresses.to_vec(), false)
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshots.borrow().clone()
    }

    /// Follows what is known; wakes only when it differs.
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        let mut changes = self.shared.snapshots.clone();
        changes.mark_changed();
        changes
    }

    /// Says that an address could not be connected to, that a peer said good-bye, or that a call
    /// found no endpoint at all: the source is asked again at once, but no sooner than
    /// [`Settings::gap`] after the last time.
    ///
    /// Cheap; may be called for every failure.
    pub fn connect_failed(&self) {
        self.shared.hint.notify_one();
    }

    /// Whether a sidecar stands before the service; see [`Snapshot::sidecar`].
    pub fn is_sidecar(&self) -> bool {
        self.shared.snapshots.borrow().sidecar
    }

    /// What calls name as their `:authority`; none if the source has no name.
    pub fn authority(&self) -> Option<&Authority> {
        self.shared.authority.as_ref()
    }

    /// How things stand, for people.
    pub fn report(&self) -> Report {
        let details = self.shared.details.borrow().clone();
        Report::new(self.shared.source.clone(), self.snapshot(), details)
    }

    fn unchanging(source: &Source, addresses: Vec<SocketAddr>, sidecar: bool) -> Self {
        let known = known::Known::fixed(addresses, sidecar);
        let (snapshot, snapshots) = watch::channel(known.snapshot().clone());
        let (detail, details) = watch::channel(known.details());
        let fixed = Some((snapshot, detail));
        Self::new(source, snapshots, details, Arc::default(), fixed)
    }
}

impl Endpoints {
    fn new(
        source: &Source,
        snapshots: watch::Receiver<Snapshot>,
        details: watch::Receiver<Details>,
        hint: Arc<Notify>,
        fixed: Option<(watch::Sender<Snapshot>, watch::Sender<Details>)>,
    ) -> Self {
        let authority = source.authority().and_then(|name| name.parse().ok());
        let source = source.to_string();
        let shared = Shared { source, authority, snapshots, details, hint, _fixed: fixed };
        Self { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("source", &self.shared.source)
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
