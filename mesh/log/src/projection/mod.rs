//! Views that follow the log: tables for questions that the streams themselves cannot answer.
//!
//! A projection hands the rows of the log, in order and in batches, to a [`View`], which writes its
//! tables in the transaction that moves the view's checkpoint. So a view is always what the log up
//! to its checkpoint adds up to: after a crash it goes on there, and a new view begins at position 0
//! and catches up by itself. One replica at a time does the work; one that lost the lease and does
//! not know it moves a checkpoint that is no longer where it left it, and is refused.
//!
//! A view costs the writers nothing: they write the log and know of no view. It is behind them by
//! a short linger, which makes batches of a busy log.
//!
//! Code that fails on a row stops its projection, and nothing else: the health condition named like
//! the view is degraded, `mesh_projection_stopped` is 1, and the log says at which row. A restart
//! with better code goes on there. To build a view anew, delete its row of `projections`, then empty
//! its tables, in one transaction; nothing has to be stopped.
//!
//! ```no_run
//! use futures::{FutureExt as _, future::BoxFuture};
//! use mesh_log::{Database, LogRow, Projection, View, ViewError};
//! use mesh_runtime::Service;
//! use sqlx::PgConnection;
//!
//! /// How often everything was renamed.
//! struct Renames;
//!
//! impl View for Renames {
//!     const NAME: &'static str = "renames";
//!
//!     fn apply<'c>(
//!         &'c self,
//!         tx: &'c mut PgConnection,
//!         rows: &'c [LogRow],
//!     ) -> BoxFuture<'c, Result<(), ViewError>> {
//!         async move {
//!             let renamed = rows.iter().filter(|row| row.kind == "stranger.v1.Renamed");
//!             let things: Vec<_> = renamed.map(|row| row.key).collect();
//!             sqlx::query(
//!                 "INSERT INTO renames (thing, times)
//!                  SELECT thing, count(*) FROM unnest($1::uuid[]) AS r(thing) GROUP BY thing
//!                  ON CONFLICT (thing) DO UPDATE SET times = renames.times + excluded.times",
//!             )
//!             .bind(things)
//!             .execute(tx)
//!             .await?;
//!             Ok(())
//!         }
//!         .boxed()
//!     }
//! }
//!
//! /// Called once, when the service starts.
//! fn start(service: &Service, db: &Database) {
//!     Projection::start(service, db, Renames);
//! }
//! ```

mod checkpoint;
mod gauges;
mod run;

use futures::future::BoxFuture;
use mesh_runtime::Service;
use sqlx::PgConnection;

use crate::{Database, LogRow};
use run::Runner;

/// Tables that are fed from the log.
pub trait View: Send + Sync + 'static {
    /// Names the view in its checkpoint, lease, health condition, metrics and crash points.
    const NAME: &'static str;

    /// Adds rows of the log to the view, in the transaction that moves its checkpoint.
    ///
    /// Every row of the log comes once, in order, also those that the view has no use for. At least
    /// one row; costs what its statements cost, so they should be for all rows at once: together
    /// they have hardly more time than one statement may take (10 s), and are undone after it.
    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        rows: &'c [LogRow],
    ) -> BoxFuture<'c, Result<(), ViewError>>;
}

/// Why rows were not added to a view.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The database did not do it. Tried again if it was away, or a race was lost; what it refuses
    /// for its own reasons stops the projection.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The code does not know what to make of a row; stops the projection.
    #[error("{0}")]
    Broken(String),
}

/// Feeds a view.
#[derive(Debug)]
pub struct Projection;

impl Projection {
    /// Feeds `view` from the log until the service has stopped, one replica at a time.
    ///
    /// The table of checkpoints is that of [`PROJECTIONS_MIGRATION`](crate::PROJECTIONS_MIGRATION).
    pub fn start<V: View>(service: &Service, db: &Database, view: V) {
        let runner = Runner::new(service, db.clone(), view);
        let stopped = service.stopped();
        service.spawn("projection", async move {
            stopped.run_until_cancelled(Box::pin(runner.run())).await;
        });
    }
}
