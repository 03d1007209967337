//! Metrics by OTLP: what `/metrics` would show, sent now and then.

use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use opentelemetry::metrics::Counter;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;

use crate::metrics;

static EXPORTER: OnceLock<MetricExporter> = OnceLock::new();
static FAILED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    metrics::meter()
        .u64_counter("mesh.telemetry.metrics_not_sent")
        .with_description("Times that metrics did not reach the collector")
        .build()
});

/// Sends all metrics each time that `interval` has passed, as long as the runtime lives.
pub(super) fn begin(exporter: MetricExporter, interval: Duration) {
    let exporter = EXPORTER.get_or_init(|| exporter);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            send(exporter).await;
        }
    });
}

/// Sends them once more, if they are sent at all.
pub(super) async fn last() {
    if let Some(exporter) = EXPORTER.get() {
        send(exporter).await;
    }
}

async fn send(exporter: &MetricExporter) {
    let Some(metrics) = metrics::read() else { return };
    if let Err(error) = exporter.export(&metrics).await {
        // The next ones say all that these would have said.
        FAILED.add(1, &[]);
        tracing::debug!(%error, "metrics were not sent");
    }
}
