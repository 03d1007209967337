//! Logs and traces of this process: set up once, whoever comes first.

mod fields;
mod json;
pub(crate) mod local;
mod time;

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt as _};

use crate::{LogFormat, ServiceConfig};

pub(crate) use local::{Exported, Local, LocalTrace, Roots};

static DONE: Mutex<bool> = Mutex::new(false);
static TRACES: OnceLock<SdkTracerProvider> = OnceLock::new();

type BoxLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Sets up logs, and traces if `config` says where they go.
///
/// Only the first call of a process does anything; a subscriber that is set already stays.
/// With an OTLP endpoint it must be called inside a tokio runtime.
pub fn init(name: &'static str, config: &ServiceConfig) -> anyhow::Result<()> {
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if *done {
        return Ok(());
    }
    let filter = EnvFilter::builder().parse(&config.log_level).context("LOG_LEVEL")?;
    let mut layers = vec![Local.boxed()];
    if let Some(endpoint) = &config.otlp_endpoint {
        layers.push(otlp_layer(name, endpoint, config.trace_ratio)?);
    }
    let logs: BoxLayer = match config.log_format {
        LogFormat::Json => json::Json::new(std::io::stdout).boxed(),
        LogFormat::Pretty => tracing_subscriber::fmt::layer().with_target(false).boxed(),
    };
    // The trace layers go first: the log layer asks them for the trace of a span.
    layers.push(logs);
    let subscriber = tracing_subscriber::registry().with(layers).with(filter);
    // A test may have set its own.
    let _ = tracing::subscriber::set_global_default(subscriber);
    *done = true;
    Ok(())
}

/// Sends what is still buffered, for at most `limit`.
pub fn flush(limit: Duration) {
    if let Some(traces) = TRACES.get()
        && let Err(error) = traces.shutdown_with_timeout(limit)
    {
        tracing::debug!(%error, "last traces were not sent");
    }
}

/// Whether traces are sent, so that OpenTelemetry knows the trace of a span.
pub(crate) fn exports_traces() -> bool {
    TRACES.get().is_some()
}

fn otlp_layer(name: &'static str, endpoint: &str, ratio: f64) -> anyhow::Result<BoxLayer> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .context("OTLP_ENDPOINT")?;
    let traces = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(name).build())
        .with_sampler(Sampler::ParentBased(Box::new(Roots::new(ratio))))
        .with_batch_exporter(exporter)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        // Nobody asks OpenTelemetry for the current span: `trace::current` asks tracing.
        .with_context_activation(false)
        .with_tracer(traces.tracer(name))
        .with_filter(Exported);
    let _ = TRACES.set(traces);
    Ok(layer.boxed())
}
