//! Work that ends although nobody waits for it any more.

use std::{future::Future, panic, sync::LazyLock, time::Duration};

use opentelemetry::{KeyValue, metrics::Counter};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tracing::Instrument as _;

use crate::Deadline;

/// What work may take beyond the deadline of its call.
const MARGIN: Duration = Duration::from_millis(250);
/// What work may take that belongs to no call.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(30);

static RUNNING: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));
static SHIELDED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.shielded")
        .with_description("Work that was not to be cancelled with its call, by how it ended")
        .build()
});

/// Work under a [`shield`] took longer than it may and was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("work that must not be cancelled took longer than {limit:?}")]
pub struct Overran {
    /// How long it had.
    pub limit: Duration,
}

/// Runs `work` to its end although the caller is dropped, for as long as the current call has
/// left and 250 ms more; 30 s outside of a call.
///
/// A deadline, a hedge that lost and a reset all drop a handler between two awaits. Where that does
/// harm (`BEGIN` and `COMMIT`: a dropped one can leave a pooled connection inside a transaction),
/// the harm is shielded. Work begins at once and keeps the call's deadline and span. A server that
/// has drained gives it two seconds more. A panic in it is the caller's.
///
/// Costs one spawned task.
///
/// ```
/// # async fn commit() -> Result<(), mesh_rpc::server::Overran> {
/// # struct Transaction;
/// # impl Transaction { async fn commit(self) {} }
/// # let transaction = Transaction;
/// mesh_rpc::server::shield(transaction.commit()).await?;
/// # Ok(())
/// # }
/// ```
pub fn shield<F>(work: F) -> impl Future<Output = Result<F::Output, Overran>> + Send
where
    F: Future<Output: Send> + Send + 'static,
{
    let limit = Deadline::current()
        .map_or(WITHOUT_DEADLINE, |deadline| deadline.remaining().saturating_add(MARGIN));
    shield_for(limit, work)
}

/// Runs `work` to its end although the caller is dropped, for no longer than `limit`.
pub fn shield_for<F>(
    limit: Duration,
    work: F,
) -> impl Future<Output = Result<F::Output, Overran>> + Send
where
    F: Future<Output: Send> + Send + 'static,
{
    let running = Running::begin();
    let task: JoinHandle<_> = Deadline::spawn(
        async move {
            let done = timeout(limit, work).await;
            let how = if done.is_ok() { "done" } else { "overran" };
            SHIELDED.add(1, &[KeyValue::new("how", how)]);
            drop(running);
            done.map_err(|_| Overran { limit })
        }
        .in_current_span(),
    );
    async move {
        match task.await {
            Ok(done) => done,
            Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
            // The runtime is going down, and with it whoever would hear of it.
            Err(_) => Err(Overran { limit }),
        }
    }
}

/// Waits until nothing in this process is shielded.
pub(super) async fn idle() {
    let mut running = RUNNING.subscribe();
    let _ = running.wait_for(|running| *running == 0).await;
}

/// Counted while it lives.
struct Running;

impl Running {
    fn begin() -> Self {
        RUNNING.send_modify(|running| *running += 1);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.send_modify(|running| *running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shielded_work_ends_although_its_caller_is_dropped() {
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let work = async move {
            sleep(Duration::from_millis(100)).await;
            flag.store(true, Ordering::Relaxed);
        };

        let gone = timeout(Duration::from_millis(10), shield(work)).await;
        idle().await;

        assert!(gone.is_err() && done.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn shielded_work_has_what_its_call_has_left_and_a_little_more() {
        let deadline = Deadline::after(Duration::from_millis(100));

        let ended = deadline.scope(async { shield(pending::<()>()).await }).await;

        assert_eq!(ended, Err(Overran { limit: Duration::from_millis(350) }));
    }

    #[tokio::test(start_paused = true)]
    async fn shielded_work_knows_its_calls_deadline() {
        let deadline = Deadline::after(Duration::from_millis(100));

        let seen = deadline.scope(async { shield(async { Deadline::current() }).await }).await;

        assert_eq!(seen, Ok(Some(deadline)));
    }
}
