//! What the relay measures.

use mesh_log::Database;
use mesh_runtime::metrics::meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};

/// Rows beyond this count are not counted any more: the lag is bad enough.
const COUNT_LIMIT: i64 = 100_000;

/// The relay's instruments.
#[derive(Clone, Debug)]
pub(super) struct Gauges {
    published: Counter<u64>,
    rows: Gauge<u64>,
    seconds: Gauge<f64>,
    labels: [KeyValue; 2],
}

impl Gauges {
    pub(super) fn new(service: &'static str, stream: &'static str) -> Self {
        let meter = meter();
        Self {
            published: meter
                .u64_counter("mesh_relay_published")
                .with_description("Events that the broker has acknowledged.")
                .build(),
            rows: meter
                .u64_gauge("mesh_relay_lag_rows")
                .with_description("Public rows of the log that are not published yet.")
                .build(),
            seconds: meter
                .f64_gauge("mesh_relay_lag_seconds")
                .with_description("Age of the oldest public row that is not published yet.")
                .build(),
            labels: [KeyValue::new("service", service), KeyValue::new("stream", stream)],
        }
    }

    pub(super) fn published(&self) {
        self.published.add(1, &self.labels);
    }

    /// Says nothing of what another replica measures now.
    pub(super) fn stand_by(&self) {
        self.rows.record(0, &self.labels);
        self.seconds.record(0.0, &self.labels);
    }

    /// Measures how far the stream is behind the log.
    pub(super) async fn measure(&self, db: &Database, position: i64) -> sqlx::Result<()> {
        let (rows, seconds): (i64, f64) = sqlx::query_as(
            "SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0)::float8
             FROM (SELECT at FROM log WHERE seq > $1 AND public ORDER BY seq LIMIT $2) behind",
        )
        .bind(position)
        .bind(COUNT_LIMIT)
        .fetch_one(db.pool())
        .await?;
        self.rows.record(rows.unsigned_abs(), &self.labels);
        self.seconds.record(seconds.max(0.0), &self.labels);
        Ok(())
    }
}
