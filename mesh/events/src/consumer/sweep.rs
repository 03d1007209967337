//! Forgets what the inbox need not remember any more, and counts the dead letters.

use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use crate::dead_letters;

/// How often the dead letters are counted.
const COUNT_PERIOD: Duration = Duration::from_secs(5);
/// How often the inbox is swept.
const SWEEP_PERIOD: Duration = Duration::from_secs(60 * 60);
/// How much longer than the horizon the inbox remembers: clocks differ.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);
/// How many rows are deleted at once.
const BATCH: i64 = 10_000;

/// Counts and sweeps until it is dropped.
pub(super) async fn run(work: &Work) {
    let mut swept = None;
    loop {
        match dead_letters::count(&work.db, work.stream).await {
            Ok(count) => work.gauges.dead_letters(count),
            Err(error) => tracing::debug!(%error, "dead letters cannot be counted"),
        }
        if swept.is_none_or(|at: Instant| at.elapsed() > SWEEP_PERIOD) {
            match sweep(work).await {
                Ok(()) => swept = Some(Instant::now()),
                Err(error) => tracing::warn!(%error, "inbox cannot be swept"),
            }
        }
        tokio::time::sleep(COUNT_PERIOD).await;
    }
}

async fn sweep(work: &Work) -> sqlx::Result<()> {
    let age = work.options.horizon + MARGIN;
    loop {
        // A dead letter's row stays as long as the dead letter does.
        let gone = sqlx::query(
            "DELETE FROM inbox WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM inbox
                 WHERE at < now() - make_interval(secs => $1) AND consumer = $2 AND NOT dead
                 LIMIT $3))",
        )
        .bind(age.as_secs_f64())
        .bind(work.stream)
        .bind(BATCH)
        .execute(work.db.pool())
        .await?
        .rows_affected();
        if gone == 0 {
            return Ok(());
        }
        tracing::info!(stream = work.stream, rows = gone, "inbox swept");
    }
}
