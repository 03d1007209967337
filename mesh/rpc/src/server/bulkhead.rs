//! Keeps one service of a process from taking all of it.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::request::Parts;
use opentelemetry::metrics::Counter;
use tonic::Status;

use super::{Gate, Refused};
use crate::refusal::Refusal;

/// When a refused caller may come back: there is no queue whose length would say.
const RETRY_IN: Duration = Duration::from_millis(50);

static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.bulkhead_refused")
        .with_description("Calls refused because too many of their service were under way")
        .build()
});

/// Bounds the calls of a group of methods that are under way at once. It has no queue.
///
/// A call is under way until its response's body ends or is dropped. One that finds no place is
/// [`Refusal::ServiceBusy`]. Costs two atomic operations per call.
///
/// ```
/// use mesh_rpc::server::{Bulkhead, Gate as _};
///
/// let server = tonic::transport::Server::builder().layer(Bulkhead::new(16).layer());
/// # drop(server);
/// ```
#[derive(Clone, Debug)]
pub struct Bulkhead {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bound: AtomicUsize,
    in_flight: AtomicUsize,
    refused: AtomicU64,
}

/// A place in a [`Bulkhead`]; free again when it is dropped.
#[derive(Debug)]
pub struct BulkheadPermit(Arc<Shared>);

/// What a [`Bulkhead`] is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BulkheadNumbers {
    /// Calls that may be under way.
    pub bound: usize,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls refused so far.
    pub refused: u64,
}

impl Bulkhead {
    /// At most `bound` calls at once.
    pub fn new(bound: usize) -> Self {
        let shared = Shared {
            bound: AtomicUsize::new(bound),
            in_flight: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Changes the bound. Calls under way stay.
    pub fn set(&self, bound: usize) {
        self.shared.bound.store(bound, Ordering::Relaxed);
    }

    /// Gets a place, or says when to come back.
    pub fn enter(&self) -> Result<BulkheadPermit, Refused> {
        let bound = self.shared.bound.load(Ordering::Relaxed);
        let add = |now: usize| (now < bound).then_some(now + 1);
        match self.shared.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, add) {
            Ok(_) => Ok(BulkheadPermit(Arc::clone(&self.shared))),
            Err(_) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                REFUSED.add(1, &[]);
                Err(Refused::for_now(Refusal::ServiceBusy, RETRY_IN))
            }
        }
    }

    /// Returns what it is doing.
    pub fn numbers(&self) -> BulkheadNumbers {
        BulkheadNumbers {
            bound: self.shared.bound.load(Ordering::Relaxed),
            in_flight: self.shared.in_flight.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }
}

impl Drop for BulkheadPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate for Bulkhead {
    type Pass = BulkheadPermit;

    async fn admit(&self, _head: &Parts) -> Result<BulkheadPermit, Status> {
        self.enter().map_err(Status::from)
    }
}

/// A [`Bulkhead`] for each of some services; others are let in always.
///
/// ```
/// use mesh_rpc::server::{Bulkheads, Gate as _};
///
/// let bulkheads = Bulkheads::new([("shop.orders.v1.OrdersService", 32)]);
/// let server = tonic::transport::Server::builder().layer(bulkheads.layer());
/// # drop(server);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Bulkheads(Arc<HashMap<&'static str, Bulkhead>>);

impl Bulkheads {
    /// One for each `package.Service`, with its bound.
    pub fn new(bounds: impl IntoIterator<Item = (&'static str, usize)>) -> Self {
        let bulkheads = bounds.into_iter().map(|(name, bound)| (name, Bulkhead::new(bound)));
        Self(Arc::new(bulkheads.collect()))
    }

    /// Returns that of `package.Service`.
    pub fn get(&self, service: &str) -> Option<&Bulkhead> {
        self.0.get(service)
    }

    /// Lists all, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Bulkhead)> {
        self.0.iter().map(|(name, bulkhead)| (*name, bulkhead))
    }
}

impl Gate for Bulkheads {
    type Pass = Option<BulkheadPermit>;

    async fn admit(&self, head: &Parts) -> Result<Self::Pass, Status> {
        let path = head.uri.path().trim_start_matches('/');
        let service = path.split_once('/').map_or(path, |(service, _)| service);
        self.get(service).map(Bulkhead::enter).transpose().map_err(Status::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_when_its_call_has_ended() {
        let bulkhead = Bulkhead::new(2);
        let (first, _second) = (bulkhead.enter().unwrap(), bulkhead.enter().unwrap());

        assert_eq!(bulkhead.enter().unwrap_err().refusal, Refusal::ServiceBusy);
        drop(first);
        bulkhead.enter().unwrap();

        let numbers = bulkhead.numbers();
        assert_eq!((numbers.in_flight, numbers.refused), (1, 1));
    }

    #[test]
    fn a_smaller_bound_holds_for_those_who_come() {
        let bulkhead = Bulkhead::new(2);
        let calls = [bulkhead.enter().unwrap(), bulkhead.enter().unwrap()];

        bulkhead.set(1);

        drop(calls);
        let _only = bulkhead.enter().unwrap();
        assert!(bulkhead.enter().is_err());
    }
}
