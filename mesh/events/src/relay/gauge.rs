//! What the relay measures.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use mesh_log::Database;
use mesh_runtime::metrics::meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};

use super::cursor;

/// No position: those of the log begin at 1.
const UNKNOWN: i64 = -1;
/// Rows beyond this count are not counted any more: the lag is bad enough.
const COUNT_LIMIT: i64 = 100_000;

/// The relay's instruments.
#[derive(Clone, Debug)]
pub(super) struct Gauges {
    published: Counter<u64>,
    rows: Gauge<u64>,
    seconds: Gauge<f64>,
    labels: [KeyValue; 2],
    /// Log position of the last row that the broker is known to have.
    position: Arc<AtomicI64>,
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
            position: Arc::new(AtomicI64::new(UNKNOWN)),
        }
    }

    /// The broker has acknowledged the row at this position.
    pub(super) fn published(&self, position: i64) {
        self.published.add(1, &self.labels);
        self.found(position);
    }

    /// The stream holds everything up to this position.
    pub(super) fn found(&self, position: i64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// Says nothing of what another replica measures now.
    pub(super) fn stand_by(&self) {
        self.found(UNKNOWN);
        self.rows.record(0, &self.labels);
        self.seconds.record(0.0, &self.labels);
    }

    /// Measures how far the stream is behind the log. The broker is not asked: most is to be told while
    /// it does not answer.
    pub(super) async fn measure(&self, db: &Database, stream: &str) -> sqlx::Result<()> {
        let position = match self.position.load(Ordering::Relaxed) {
            UNKNOWN => cursor::noted(db, stream).await?,
            position => position,
        };
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
