//! Turns calls away at the end, and knows when the last one has been answered.

use std::time::Duration;

use http::request::Parts;
use tokio::time::timeout;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tonic::Status;

use super::{Gate, refusal::refused};
use crate::refusal::Refusal;

/// Counts the calls under way, and turns away those that come when it is closed.
///
/// Closed last, long after the connections were told good-bye: what a peer sent before it heard
/// that must still be answered. Refusals are UNAVAILABLE, because another replica helps.
/// Costs one atomic load and two counts per call.
///
/// ```
/// use std::time::Duration;
///
/// use mesh_rpc::server::{DrainGate, Gate as _};
///
/// # async fn drain() {
/// let gate = DrainGate::new();
/// let server = tonic::transport::Server::builder().layer(gate.clone().layer());
/// # drop(server);
/// // ... later, when the server was told to stop:
/// let left = gate.drained(Duration::from_secs(30)).await;
/// gate.close();
/// # let _ = left;
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct DrainGate {
    calls: TaskTracker,
    closed: CancellationToken,
}

impl DrainGate {
    /// An open one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a call in, unless it is closed.
    pub fn enter(&self) -> Result<TaskTrackerToken, Status> {
        if self.closed.is_cancelled() {
            return Err(refused(Refusal::Stopping));
        }
        Ok(self.calls.token())
    }

    /// Calls under way.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Turns away whatever comes from now on. Again is no matter.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until no call is under way, but no longer than `limit`; returns how many still are.
    pub async fn drained(&self, limit: Duration) -> usize {
        self.calls.close();
        let _ = timeout(limit, self.calls.wait()).await;
        self.calls.len()
    }
}

impl Gate for DrainGate {
    type Pass = TaskTrackerToken;

    async fn admit(&self, _head: &Parts) -> Result<TaskTrackerToken, Status> {
        self.enter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_under_way_have_their_time_and_others_come_too_late() {
        let gate = DrainGate::new();
        let call = gate.enter().unwrap();

        assert_eq!(gate.drained(Duration::from_secs(30)).await, 1);
        gate.close();
        drop(call);

        assert_eq!(gate.drained(Duration::from_secs(30)).await, 0);
        assert_eq!(gate.enter().unwrap_err().code(), tonic::Code::Unavailable);
    }
}
