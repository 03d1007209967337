//! Signals on their way to whoever collects them: OTLP over gRPC, behind queues of a bounded size.
//!
//! What a call says is put into a queue or dropped; it never waits for the collector, and what empties
//! the queues runs [aside]. Of a collector that is
//! slow, gone or refuses the process holds at most 2,048 spans and as many log lines, and one batch
//! of each on its way (OpenTelemetry's defaults, `OTEL_BSP_*` and `OTEL_BLRP_*`). Metrics are read
//! when it is their time, so of these nothing is held, and nothing lost but points in between.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    trace::{BatchSpanProcessor, SpanData, SpanProcessor as _},
};
use tokio::time::timeout;

use super::{aside, places, push};
use crate::{ServiceConfig, Signal};

const ENDPOINT: &str = "OTLP_ENDPOINT";

static TRACES: OnceLock<BatchSpanProcessor> = OnceLock::new();
/// Whether the last spans were sent, so that those which end later are nobody's.
static LAST: AtomicBool = AtomicBool::new(false);
static LOGS: OnceLock<SdkLoggerProvider> = OnceLock::new();

/// Begins to send traces, if `config` says where to and that these are among what is sent; returns
/// whether it does.
pub(super) fn traces(config: &ServiceConfig, resource: &Resource) -> anyhow::Result<bool> {
    let Some(endpoint) = config.sends(Signal::Traces).map(str::to_owned) else { return Ok(false) };
    let resource = resource.clone();
    let queue = aside::make(move || {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let mut queue = BatchSpanProcessor::builder(exporter.context(ENDPOINT)?).build();
        queue.set_resource(&resource);
        anyhow::Ok(queue)
    });
    let _ = TRACES.set(queue??);
    places::sample(config.trace_ratio);
    Ok(true)
}

/// Queues a span that has ended.
pub(super) fn send(span: SpanData) {
    if let Some(queue) = TRACES.get().filter(|_| !LAST.load(Relaxed)) {
        queue.on_end(span);
    }
}

/// Begins to send log lines, like [`traces`].
pub(super) fn logs(
    config: &ServiceConfig,
    resource: &Resource,
) -> anyhow::Result<Option<SdkLoggerProvider>> {
    let Some(endpoint) = config.sends(Signal::Logs).map(str::to_owned) else { return Ok(None) };
    let resource = resource.clone();
    let provider = aside::make(move || {
        let exporter = LogExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.context(ENDPOINT)?;
        let provider = SdkLoggerProvider::builder().with_resource(resource);
        anyhow::Ok(provider.with_batch_exporter(exporter).build())
    })??;
    Ok(Some(LOGS.get_or_init(|| provider).clone()))
}

/// Begins to send metrics, like [`traces`].
pub(super) fn metrics(config: &ServiceConfig) -> anyhow::Result<()> {
    let Some(endpoint) = config.sends(Signal::Metrics).map(str::to_owned) else { return Ok(()) };
    let interval = config.otlp_interval;
    aside::make(move || push::begin(&endpoint, interval))?.context(ENDPOINT)
}

/// Whether traces are sent.
pub(crate) fn exports_traces() -> bool {
    TRACES.get().is_some()
}

/// Sends what is still there, all signals at once, for at most `limit`; then nothing more is sent.
pub async fn flush(limit: Duration) {
    LAST.store(true, Relaxed);
    let traces = ended("traces", move || TRACES.get().map(|it| it.shutdown_with_timeout(limit)));
    let logs = ended("logs", move || LOGS.get().map(|it| it.shutdown_with_timeout(limit)));
    // A collector may take longer to refuse than the limit, and the SDK does not bound all of it.
    let _ = timeout(limit, async { tokio::join!(traces, logs, push::last()) }).await;
}

/// Shuts a queue down, on a thread of its own: it blocks.
async fn ended<E: std::fmt::Display + Send + 'static>(
    signal: &'static str,
    end: impl FnOnce() -> Option<Result<(), E>> + Send + 'static,
) {
    if let Ok(Some(Err(error))) = tokio::task::spawn_blocking(end).await {
        tracing::debug!(%error, "the last {signal} were not sent");
    }
}
