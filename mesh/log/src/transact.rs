//! One closure in one transaction, for changes that are not hot.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_runtime::crash;
use sqlx::{PgConnection, PgPool, pool::PoolConnection};
use tracing::Instrument as _;

use crate::{Database, database::is_connection_lost};

/// How many connections are tried before the database counts as unreachable.
const ATTEMPTS: usize = 3;

/// Runs `work` in a transaction: commits if it succeeds, rolls back if it does not.
///
/// The transaction runs in a task of its own: a caller that is dropped changes nothing about it,
/// and no connection goes back to the pool inside a transaction. `label` names it in crash points
/// and spans. Costs two round trips beside those of `work`.
pub async fn transact<T, E, W>(db: &Database, label: &'static str, work: W) -> Result<T, E>
where
    T: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
    W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
{
    let db = db.clone();
    let task = tokio::spawn(async move { run(&db, label, work).await }.in_current_span());
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
    let mut connection = begin(db.pool()).await?;
    match AssertUnwindSafe(work(&mut connection)).catch_unwind().await {
        Ok(Ok(output)) => {
            crash::point(label, "before_commit");
            end(connection, "COMMIT").await?;
            crash::point(label, "after_commit");
            db.wake().notify();
            Ok(output)
        }
        Ok(Err(error)) => {
            end(connection, "ROLLBACK").await?;
            Err(error)
        }
        Err(panic) => {
            connection.close_on_drop();
            resume_unwind(panic)
        }
    }
}

async fn begin(pool: &PgPool) -> sqlx::Result<PoolConnection<sqlx::Postgres>> {
    let mut attempt = 1;
    loop {
        let mut connection = pool.acquire().await?;
        match sqlx::raw_sql("BEGIN").execute(&mut *connection).await {
            Ok(_) => return Ok(connection),
            Err(error) => {
                connection.close_on_drop();
                // The pool may hold connections that the server has closed since.
                if !is_connection_lost(&error) || attempt == ATTEMPTS {
                    return Err(error);
                }
                attempt += 1;
            }
        }
    }
}

/// Ends the transaction; a connection for which that failed is closed, never used again.
async fn end(
    mut connection: PoolConnection<sqlx::Postgres>,
    how: &'static str,
) -> sqlx::Result<()> {
    let ended = sqlx::raw_sql(how).execute(&mut *connection).await;
    if ended.is_err() {
        connection.close_on_drop();
    }
    ended.map(drop)
}
