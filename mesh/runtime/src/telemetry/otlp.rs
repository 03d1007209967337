//! Signals on their way to whoever collects them: OTLP over gRPC, behind queues of a bounded size.
//!
//! What a call says is put into a queue or dropped; it never waits for the collector. Of one that is
//! slow, gone or refuses the process holds at most 2,048 spans and as many log lines, and one batch
//! of each on its way (OpenTelemetry's defaults, `OTEL_BSP_*` and `OTEL_BLRP_*`). Metrics are read
//! when it is their time, so of these nothing is held, and nothing lost but points in between.

use std::{
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry::metrics::Counter;
use opentelemetry_otlp::{LogExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, logs::SdkLoggerProvider};
use tokio::time::timeout;

use super::{places, push, traces::Traces};
use crate::{ServiceConfig, Signal, metrics};

const ENDPOINT: &str = "OTLP_ENDPOINT";
/// The longest that sending may take (OTLP's default).
pub(super) const LIMIT: Duration = Duration::from_secs(10);

pub(super) static SPANS_NOT_SENT: LazyLock<Counter<u64>> = LazyLock::new(|| {
    metrics::meter()
        .u64_counter("mesh.telemetry.spans_not_sent")
        .with_description("Spans that did not reach the collector")
        .build()
});
static TRACES: OnceLock<Traces> = OnceLock::new();
/// Whether the last spans were sent, so that those which end later are nobody's.
static LAST: AtomicBool = AtomicBool::new(false);
static LOGS: OnceLock<SdkLoggerProvider> = OnceLock::new();

/// Begins to send traces of what is called `scope`, if `config` says where to and that these are among
/// what is sent; returns whether it does.
pub(super) fn traces(
    scope: &'static str,
    config: &ServiceConfig,
    resource: &Resource,
) -> anyhow::Result<bool> {
    let Some(endpoint) = config.sends(Signal::Traces) else { return Ok(false) };
    let _ = TRACES.set(Traces::begin(endpoint, resource, scope).context(ENDPOINT)?);
    places::sample(config.trace_ratio);
    Ok(true)
}

/// Queues a span that has ended, which this is OTLP's message of.
pub(super) fn send(span: &[u8]) {
    if let Some(traces) = TRACES.get().filter(|_| !LAST.load(Relaxed)) {
        traces.send(span);
    }
}

/// Begins to send log lines, like [`traces`].
pub(super) fn logs(
    config: &ServiceConfig,
    resource: &Resource,
) -> anyhow::Result<Option<SdkLoggerProvider>> {
    let Some(endpoint) = config.sends(Signal::Logs) else { return Ok(None) };
    let exporter = LogExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let provider = SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_batch_exporter(exporter.context(ENDPOINT)?)
        .build();
    Ok(Some(LOGS.get_or_init(|| provider).clone()))
}

/// Begins to send metrics, like [`traces`].
pub(super) fn metrics(config: &ServiceConfig) -> anyhow::Result<()> {
    let Some(endpoint) = config.sends(Signal::Metrics) else { return Ok(()) };
    push::begin(endpoint, config.otlp_interval).context(ENDPOINT)
}

/// Whether traces are sent.
pub(crate) fn exports_traces() -> bool {
    TRACES.get().is_some()
}

/// Sends what is still there, all signals at once, for at most `limit`; then nothing more is sent.
pub async fn flush(limit: Duration) {
    LAST.store(true, Relaxed);
    let traces = async {
        if let Some(traces) = TRACES.get() {
            traces.flush().await;
        }
    };
    let logs = logs_ended(limit);
    // A collector may take longer to refuse than the limit, and the SDK does not bound all of it.
    let _ = timeout(limit, async { tokio::join!(traces, logs, push::last()) }).await;
}

/// Shuts their queue down, on a thread of its own: it blocks.
async fn logs_ended(limit: Duration) {
    let end = move || LOGS.get().map(|it| it.shutdown_with_timeout(limit));
    if let Ok(Some(Err(error))) = tokio::task::spawn_blocking(end).await {
        tracing::debug!(%error, "the last log lines were not sent");
    }
}
