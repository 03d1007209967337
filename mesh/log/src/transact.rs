//! One closure in one transaction, for changes that are not hot.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_runtime::{crash, deadline};
use sqlx::PgConnection;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::{Database, limits};

/// How much longer than its caller waits a closure may go on: what is nearly done is not thrown away.
const GRACE: Duration = Duration::from_millis(250);
/// How long a closure may take that works for no call.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `work` in a transaction: commits if it succeeds, rolls back if it does not.
///
/// The transaction runs in a task of its own: a caller that is dropped changes nothing about it,
/// and no connection goes back to the pool inside a transaction. `label` names it in crash points
/// and spans. Costs two round trips beside those of `work`.
///
/// The current call's deadline drives it: it waits for a connection as [`Pool::acquire`] does, the
/// server ends a statement that takes longer than remains, and 250 ms after the deadline the whole is
/// undone; all of these become [`SubmitError::Expired`](crate::SubmitError::Expired). A commit is
/// waited for up to 5 s, whatever the deadline; if it fails nobody knows whether it took effect.
/// A transaction in which a statement failed is not committed, even if `work` succeeds.
///
/// [`Pool::acquire`]: crate::Pool::acquire
pub async fn transact<T, E, W>(db: &Database, label: &'static str, work: W) -> Result<T, E>
where
    T: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
    W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
{
    let db = db.clone();
    let run = async move { run(&db, label, work).await }.in_current_span();
    let task = match deadline::current() {
        Some(deadline) if deadline <= Instant::now() => return Err(E::from(limits::expired())),
        Some(deadline) => tokio::spawn(deadline::scope(deadline, run)),
        None => tokio::spawn(run),
    };
    match task.await {
        Ok(result) => result,
        Err(gone) if gone.is_panic() => resume_unwind(gone.into_panic()),
        Err(_) => Err(E::from(sqlx::Error::WorkerCrashed)),
    }
}

async fn run<T, E, W>(db: &Database, label: &'static str, work: W) -> Result<T, E>
where
    E: From<sqlx::Error>,
    W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>>,
{
    let mut connection = db.pool().begin("BEGIN").await?;
    let deadline = deadline::current();
    let end = deadline.map_or_else(|| Instant::now() + LIMIT, |deadline| deadline + GRACE);
    let working = AssertUnwindSafe(work(&mut connection)).catch_unwind();
    match timeout_at(end, working).await {
        Ok(Ok(Ok(output))) => {
            crash::point(label, "before_commit");
            connection.commit().await?;
            crash::point(label, "after_commit");
            db.wake().notify();
            Ok(output)
        }
        Ok(Ok(Err(error))) => {
            connection.roll_back().await;
            Err(error)
        }
        Ok(Err(panic)) => {
            connection.give_up();
            resume_unwind(panic)
        }
        Err(_) => {
            connection.give_up();
            Err(E::from(deadline.map_or_else(limits::silent, |_| limits::expired())))
        }
    }
}
