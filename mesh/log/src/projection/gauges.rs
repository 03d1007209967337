//! What a projection measures.

use mesh_runtime::metrics::meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};

use crate::Pool;

/// Rows beyond this count are not counted any more: the lag is bad enough.
const COUNT_LIMIT: i64 = 100_000;

/// A projection's instruments.
#[derive(Clone, Debug)]
pub(super) struct Gauges {
    applied: Counter<u64>,
    rows: Gauge<u64>,
    seconds: Gauge<f64>,
    stopped: Gauge<u64>,
    labels: [KeyValue; 2],
}

impl Gauges {
    pub(super) fn new(service: &'static str, view: &'static str) -> Self {
        let meter = meter();
        let gauges = Self {
            applied: meter
                .u64_counter("mesh_projection_applied")
                .with_description("Rows of the log that were added to the view.")
                .build(),
            rows: meter
                .u64_gauge("mesh_projection_lag_rows")
                .with_description("Rows of the log that are not in the view yet.")
                .build(),
            seconds: meter
                .f64_gauge("mesh_projection_lag_seconds")
                .with_description("Age of the oldest row of the log that is not in the view yet.")
                .build(),
            stopped: meter
                .u64_gauge("mesh_projection_stopped")
                .with_description("1 if the view's code failed and a restart has to help.")
                .build(),
            labels: [KeyValue::new("service", service), KeyValue::new("view", view)],
        };
        gauges.stopped.record(0, &gauges.labels);
        gauges
    }

    pub(super) fn applied(&self, rows: usize) {
        self.applied.add(u64::try_from(rows).unwrap_or(u64::MAX), &self.labels);
    }

    pub(super) fn stopped(&self) {
        self.stopped.record(1, &self.labels);
    }

    /// Says nothing of what another replica measures now.
    pub(super) fn stand_by(&self) {
        self.rows.record(0, &self.labels);
        self.seconds.record(0.0, &self.labels);
    }

    /// Measures how far the view is behind the log.
    pub(super) async fn measure(&self, pool: &Pool, position: i64) -> sqlx::Result<()> {
        let (rows, seconds): (i64, f64) = sqlx::query_as(
            "SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0)::float8
             FROM (SELECT at FROM log WHERE seq > $1 ORDER BY seq LIMIT $2) behind",
        )
        .bind(position)
        .bind(COUNT_LIMIT)
        .fetch_one(pool)
        .await?;
        self.rows.record(rows.unsigned_abs(), &self.labels);
        self.seconds.record(seconds.max(0.0), &self.labels);
        Ok(())
    }
}
