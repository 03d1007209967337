//! The deadline of the call that this task works for.
//!
//! Set around each handler by `mesh_rpc`; whoever waits in between (pools, queues, locks, calls to
//! other services) may read it. It does not follow `tokio::spawn`.

use std::future::Future;

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Instant;
}

/// Returns when the current call ends at the latest, if this task works for one.
pub fn current() -> Option<Instant> {
    CURRENT.try_with(|deadline| *deadline).ok()
}

/// Runs `work` as part of a call that ends at `deadline`.
pub fn scope<F: Future>(deadline: Instant, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(deadline, work)
}
