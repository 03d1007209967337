//! Settles payments that were left waiting: their caller went away, or this process died.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use mesh_runtime::{Service, deadline};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use uuid::Uuid;

use super::{Error, Payments};
use crate::store;

/// How many payments one round takes, and how many of them are settled at once.
const ROUND: i64 = 64;
const AT_ONCE: usize = 16;
/// How long the processor is asked about one payment before others have their turn.
const PATIENCE: Duration = Duration::from_secs(10);

impl Payments {
    /// Starts to look for payments that have waited longer than `settle_after`.
    pub fn start_sweeper(&self, service: &Service, settle_after: Duration) {
        let payments = self.clone();
        let stopped = service.stopped();
        service.spawn("sweeper", async move {
            stopped.run_until_cancelled(payments.sweep(settle_after)).await;
        });
    }

    async fn sweep(&self, settle_after: Duration) {
        let pause = settle_after / 3;
        loop {
            match store::payments::take_overdue(self.db.pool(), ROUND, settle_after).await {
                Ok(overdue) if overdue.is_empty() => sleep(pause).await,
                Ok(overdue) => {
                    stream::iter(overdue)
                        .for_each_concurrent(AT_ONCE, |id| self.settle_one(id))
                        .await;
                }
                Err(error) => {
                    warn!(error = %error, "overdue payments cannot be read");
                    sleep(pause).await;
                }
            }
        }
    }

    async fn settle_one(&self, id: Uuid) {
        let settling = self.settle_overdue(id);
        match deadline::scope(Instant::now() + PATIENCE, settling).await {
            Ok(payment) => info!(payment_id = %id, state = ?payment.state, "payment settled late"),
            Err(error @ (Error::OutcomeUnknown | Error::Refused(_))) => {
                warn!(payment_id = %id, error = %error, "payment still open");
            }
            Err(error) => warn!(payment_id = %id, error = %error, "payment cannot be settled now"),
        }
    }
}
