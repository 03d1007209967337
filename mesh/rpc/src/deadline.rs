//! When a call ends at the latest: an instant, so that waiting anywhere counts.

use std::{future::Future, time::Duration};

use mesh_runtime::deadline;
use tokio::{task::JoinHandle, time::Instant};
use tonic::Request;

/// The moment after which nobody waits for a call's answer any more.
///
/// A handler's calls to other services inherit it, less a margin for the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies `timeout` from now.
    pub fn after(timeout: Duration) -> Self {
        let now = Instant::now();
        // A caller may ask for longer than time lasts; a year is as good.
        let end = now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(31_536_000));
        Self(end)
    }

    /// The deadline at `instant`.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Returns the deadline of the call that this task works for. Spawned tasks have none, unless
    /// they were begun by [`spawn`](Self::spawn).
    pub fn current() -> Option<Self> {
        deadline::current().map(Self)
    }

    /// Returns the time left, zero if it has passed.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Returns the moment itself.
    pub fn instant(&self) -> Instant {
        self.0
    }

    /// Runs `work` as part of a call with this deadline.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        deadline::scope(self.0, work)
    }

    /// Spawns `work` as part of the current call.
    pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match Self::current() {
            Some(deadline) => tokio::spawn(deadline.scope(work)),
            None => tokio::spawn(work),
        }
    }
}

/// Makes a request whose call ends after `timeout`, or with the current call if that is sooner.
pub fn timeout_request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Deadline::after(timeout));
    request
}
