//! One round: so many callers, each with one call under way.

use std::time::{Duration, Instant};

use alloc_tracker::Session;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::sides::Client;

/// What one round of one side brought.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Round {
    pub calls: u64,
    pub rps: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Per call, of caller and server together.
    pub allocations: f64,
}

/// Calls for so long.
pub(super) async fn round(client: &Client, callers: usize, time: Duration) -> Result<Round> {
    let session = Session::new().no_stdout().no_file();
    let counter = session.operation("round");
    // It insists on a number of iterations, which only the end tells.
    let counted = counter.measure_process().iterations(1);
    let begun = Instant::now();
    let took = calls(client, callers, begun + time).await;
    let elapsed = begun.elapsed();
    drop(counted);
    let mut took = took?;
    took.sort_unstable();
    anyhow::ensure!(!took.is_empty(), "no call was made");
    let calls = took.len() as f64;
    let report = session.to_report();
    let allocations: u64 = report.operations().map(|(_, it)| it.total_allocations_count()).sum();
    Ok(Round {
        calls: took.len() as u64,
        rps: calls / elapsed.as_secs_f64(),
        p50_us: percentile(&took, 0.50),
        p99_us: percentile(&took, 0.99),
        allocations: allocations as f64 / calls,
    })
}

/// Returns how long each call took, in nanoseconds.
async fn calls(client: &Client, callers: usize, end: Instant) -> Result<Vec<u64>> {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        tasks.spawn(call_until(client.clone(), end));
    }
    let mut all = Vec::new();
    while let Some(took) = tasks.join_next().await {
        all.extend(took.context("a caller failed")??);
    }
    Ok(all)
}

async fn call_until(mut client: Client, end: Instant) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        client.echo().await.context("a call failed")?;
        let now = Instant::now();
        took.push(u64::try_from((now - begun).as_nanos()).unwrap_or(u64::MAX));
        begun = now;
    }
    Ok(took)
}

/// The time that this share of the calls did not exceed, in microseconds.
pub(in crate::bench) fn percentile(sorted: &[u64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1] as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let hundred: Vec<u64> = (1..=100).map(|micros| micros * 1000).collect();

        assert_eq!(percentile(&hundred, 0.50), 50.0);
        assert_eq!(percentile(&hundred, 0.99), 99.0);
        assert_eq!(percentile(&[7000], 0.99), 7.0);
    }
}
