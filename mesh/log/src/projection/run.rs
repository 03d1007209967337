//! The task behind a [`Projection`](super::Projection).

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use mesh_runtime::{Condition, Service, crash};
use tokio::time::Instant;

use super::{View, ViewError, checkpoint, gauges::Gauges};
use crate::{Database, LogRow, Reader, database::is_connection_lost, limits};

/// How many rows one transaction adds at most.
const BATCH: i64 = 512;
/// How long the log stays unread if nobody here says that it has grown.
const POLL: Duration = Duration::from_millis(200);
/// Pause after a wake-up, so that a busy log is read in batches.
const LINGER: Duration = Duration::from_millis(50);
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(200);
/// How often the lag is measured.
const CHECK: Duration = Duration::from_secs(2);
/// Classes of errors that pass by themselves: lost races, want of resources, somebody's hand, disks.
const PASSING: [&str; 5] = ["40", "53", "55", "57", "58"];

pub(super) struct Runner<V> {
    db: Database,
    view: V,
    condition: Condition,
    gauges: Gauges,
}

/// Why the view does not go on from where it is.
enum Interrupted {
    /// The database was away, or a race was lost.
    Passing(sqlx::Error),
    /// The checkpoint is elsewhere: another replica is at work, or the view is built anew.
    Moved,
    /// The code failed on these rows.
    Failed { first: i64, last: i64, error: String },
}

impl From<sqlx::Error> for Interrupted {
    fn from(error: sqlx::Error) -> Self {
        Self::Passing(error)
    }
}

impl<V: View> Runner<V> {
    pub(super) fn new(service: &Service, db: Database, view: V) -> Self {
        let condition = service.health().condition(V::NAME);
        condition.ready();
        Self { db, view, condition, gauges: Gauges::new(service.name(), V::NAME) }
    }

    /// Feeds the view whenever this replica leads, until its code fails.
    pub(super) async fn run(self) {
        loop {
            let lease = self.db.replica().lead(format!("view {}", V::NAME)).await;
            tracing::info!(view = V::NAME, "projection leads");
            if let Some((row, error)) = lease.lost().run_until_cancelled(self.follow()).await {
                // Another replica may have better code.
                drop(lease);
                return self.stop(row, error).await;
            }
            self.gauges.stand_by();
            tracing::info!(view = V::NAME, "projection stands by");
        }
    }

    /// Says that the view goes on no more, and how far it falls behind.
    async fn stop(&self, row: i64, error: String) {
        tracing::error!(view = V::NAME, row, error, "projection stopped");
        self.gauges.stopped();
        self.condition.degraded(format!("stopped before row {row} of the log: {error}"));
        loop {
            if let Ok(position) = checkpoint::find(self.db.pool(), V::NAME).await {
                // An unreachable database is told of elsewhere.
                let _ = self.gauges.measure(self.db.pool(), position).await;
            }
            tokio::time::sleep(CHECK).await;
        }
    }

    /// Feeds the view until its code fails; says on which row, and how.
    async fn follow(&self) -> (i64, String) {
        // Rows of a batch that failed are added one by one: the view comes as far as it can.
        let mut one_by_one_to = 0;
        loop {
            match self.go_on(one_by_one_to).await {
                Interrupted::Failed { first, last, error } if first == last => {
                    return (first, error);
                }
                Interrupted::Failed { first, last, error } => {
                    tracing::warn!(view = V::NAME, first, last, error, "a batch failed");
                    one_by_one_to = last;
                }
                Interrupted::Moved => {
                    tracing::info!(view = V::NAME, "checkpoint is read again");
                }
                Interrupted::Passing(error) => {
                    tracing::warn!(view = V::NAME, %error, "projection cannot go on yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn go_on(&self, one_by_one_to: i64) -> Interrupted {
        match self.feed(one_by_one_to).await {
            Err(interrupted) => interrupted,
            Ok(never) => match never {},
        }
    }

    async fn feed(&self, one_by_one_to: i64) -> Result<std::convert::Infallible, Interrupted> {
        let position = checkpoint::find(self.db.pool(), V::NAME).await?;
        let mut reader = Reader::new(&self.db, position);
        let mut wake = self.db.wake().waiter();
        let mut measured: Option<Instant> = None;
        loop {
            let from = reader.position();
            let limit = if from < one_by_one_to { 1 } else { BATCH };
            let rows = reader.next(limit).await?;
            if !rows.is_empty() {
                self.add(&mut reader, from, &rows).await?;
            }
            if measured.is_none_or(|at| at.elapsed() >= CHECK) {
                self.gauges.measure(self.db.pool(), reader.position()).await?;
                measured = Some(Instant::now());
            }
            if i64::try_from(rows.len()).is_ok_and(|count| count < limit) {
                wake.wait(POLL).await;
                tokio::time::sleep(LINGER).await;
            }
        }
    }

    /// Adds rows to the view and moves its checkpoint, both or neither. After a failure, silence
    /// included, the reader, and with it the connection, is not used again: the server rolls back.
    async fn add(
        &self,
        reader: &mut Reader,
        from: i64,
        rows: &[LogRow],
    ) -> Result<(), Interrupted> {
        let (first, last) = (rows[0].seq, rows[rows.len() - 1].seq);
        let failed = |error| Interrupted::Failed { first, last, error };
        let connection = reader.connection().await?;
        limits::within(sqlx::raw_sql("BEGIN").execute(&mut *connection)).await?;
        if !limits::within(checkpoint::advance(connection, V::NAME, from, last)).await? {
            return Err(Interrupted::Moved);
        }
        let applying = AssertUnwindSafe(self.view.apply(connection, rows)).catch_unwind();
        match limits::within(applying.map(Ok)).await? {
            Ok(Ok(())) => {}
            Ok(Err(ViewError::Database(error))) if passes(&error) => return Err(error.into()),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(panic) => return Err(failed(format!("panicked: {}", said(&*panic)))),
        }
        crash::point(V::NAME, "before_commit");
        limits::within(sqlx::raw_sql("COMMIT").execute(connection)).await?;
        crash::point(V::NAME, "after_commit");
        self.gauges.applied(rows.len());
        Ok(())
    }
}

/// True if the same statement may well succeed later.
fn passes(error: &sqlx::Error) -> bool {
    let class = |code: &str| PASSING.iter().any(|class| code.starts_with(class));
    let code = error.as_database_error().and_then(|error| error.code());
    is_connection_lost(error) || code.is_some_and(|code| class(&code))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
