//! The limits as they are now, for the admin port.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mesh_policy::values;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{Bulkheads, Criticality, RateLimit, Shed};

/// One limit of a server as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LimitRow {
    /// `shed`, `bulkhead`, `rate` or `connections`.
    pub layer: &'static str,
    /// `process`, a `package.Service`, `total` or `peer`.
    pub scope: String,
    /// Calls or connections at once, or calls per second; none is no limit.
    pub bound: Option<f64>,
    /// Calls or connections under way.
    pub in_flight: usize,
    /// Calls that wait.
    pub queued: usize,
    /// Callers that are remembered.
    pub keys: usize,
    /// What was turned away since the start, by why.
    pub refused: BTreeMap<&'static str, u64>,
}

/// The limits of a server. Cheap to clone.
#[derive(Clone)]
pub struct ServerLimits {
    pub(super) shed: Shed,
    pub(super) rate: RateLimit,
    pub(super) bulkheads: Bulkheads,
    pub(super) connections: TaskTracker,
    pub(super) turned_away: Arc<AtomicU64>,
    pub(super) values: watch::Receiver<values::Server>,
}

impl ServerLimits {
    /// Returns all of them, in the order in which a call meets them.
    pub fn table(&self) -> Vec<LimitRow> {
        let mut rows = vec![self.connections(), self.shed()];
        rows.extend(self.rates());
        rows.extend(self.services());
        rows
    }

    /// Sets what can be changed while the server runs.
    pub(super) fn apply(&self, values: &values::Server) {
        self.shed.set(values.bulkhead);
        self.rate.set(values.total_rate, values.peer_rate);
    }

    fn connections(&self) -> LimitRow {
        let turned_away = self.turned_away.load(Ordering::Relaxed);
        LimitRow {
            bound: Some(self.values.borrow().connections as f64),
            in_flight: self.connections.len(),
            refused: BTreeMap::from([("too_many", turned_away)]),
            ..row("connections", "process")
        }
    }

    fn shed(&self) -> LimitRow {
        let numbers = self.shed.numbers();
        let mut refused: BTreeMap<_, _> = Criticality::ALL
            .into_iter()
            .map(|it| (it.as_str(), numbers.shed[it as usize]))
            .collect();
        refused.insert("expired", numbers.expired);
        LimitRow {
            bound: Some(numbers.bounds.calls as f64),
            in_flight: numbers.in_flight,
            queued: numbers.queued,
            refused,
            ..row("shed", "process")
        }
    }

    fn rates(&self) -> [LimitRow; 2] {
        let numbers = self.rate.numbers();
        let total = LimitRow {
            bound: numbers.total.map(|rate| rate.per_second),
            refused: BTreeMap::from([("rate", numbers.limited.total)]),
            ..row("rate", "total")
        };
        let peer = LimitRow {
            bound: numbers.peer.map(|rate| rate.per_second),
            keys: numbers.keys,
            refused: BTreeMap::from([("rate", numbers.limited.peer)]),
            ..row("rate", "peer")
        };
        [total, peer]
    }

    fn services(&self) -> Vec<LimitRow> {
        let rows = self.bulkheads.iter().map(|(name, bulkhead)| {
            let numbers = bulkhead.numbers();
            LimitRow {
                bound: Some(numbers.bound as f64),
                in_flight: numbers.in_flight,
                refused: BTreeMap::from([("busy", numbers.refused)]),
                ..row("bulkhead", name)
            }
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|one, other| one.scope.cmp(&other.scope));
        rows
    }
}

impl fmt::Debug for ServerLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerLimits").field(&self.table()).finish()
    }
}

fn row(layer: &'static str, scope: &str) -> LimitRow {
    LimitRow {
        layer,
        scope: scope.to_owned(),
        bound: None,
        in_flight: 0,
        queued: 0,
        keys: 0,
        refused: BTreeMap::new(),
    }
}
