//! Metrics of this process, for every service in it: shown by `/metrics` of each admin port.

pub(crate) mod exemplars;
pub(crate) mod openmetrics;
mod seconds;

use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        Aggregation, Instrument, InstrumentKind, Pipeline, SdkMeterProvider, Stream, Temporality,
        data::ResourceMetrics, reader::MetricReader,
    },
};
use prometheus::{Encoder as _, Registry, TextEncoder};

pub use self::seconds::{BoundSeconds, Seconds, seconds};
use crate::telemetry::resource;

/// Boundaries for what takes between half a millisecond and a minute. A bound that an objective
/// promises is one of them: of others no histogram can say how many kept it.
pub const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
    reader: Arc<PrometheusExporter>,
}

/// One reader for `/metrics` and for OTLP: a second would count everything a second time.
#[derive(Debug)]
struct Shared(Arc<PrometheusExporter>);

/// Returns the meter that every instrument comes from.
///
/// Histograms with the unit `s` have boundaries for seconds. Several services can share a process,
/// so give what belongs to one of them the attribute `service`.
pub fn meter() -> Meter {
    METRICS.provider.meter("mesh")
}

/// Says, always with the value 1, which version of `service` this is.
pub(crate) fn build_info(service: &'static str, version: &str) {
    let labels = [KeyValue::new("service", service), KeyValue::new("version", version.to_owned())];
    meter()
        .u64_gauge("build_info")
        .with_description("Versions that run")
        .build()
        .record(1, &labels);
}

/// Renders every metric in Prometheus' text format.
pub fn render() -> Result<String, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&METRICS.registry.gather(), &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Renders every metric in the text format of OpenMetrics, with exemplars.
pub(crate) fn render_open() -> Result<String, std::fmt::Error> {
    openmetrics::encode(&METRICS.registry.gather())
}

/// Reads every metric, to be sent.
pub(crate) fn read() -> Option<ResourceMetrics> {
    let mut metrics = ResourceMetrics::default();
    METRICS.reader.collect(&mut metrics).ok().map(|()| metrics)
}

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .expect("a new registry refuses nothing");
        let reader = Arc::new(exporter);
        let provider = SdkMeterProvider::builder()
            .with_resource(resource::known())
            .with_reader(Shared(Arc::clone(&reader)))
            .with_view(seconds_view)
            .build();
        Self { registry, provider, reader }
    }
}

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(limit)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// The default boundaries are meant for milliseconds.
fn seconds_view(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram || instrument.unit() != "s" {
        return None;
    }
    let boundaries = SECONDS.to_vec();
    Stream::builder()
        .with_aggregation(Aggregation::ExplicitBucketHistogram {
            boundaries,
            record_min_max: false,
        })
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_seconds() {
        let histogram = meter().f64_histogram("test.duration").with_unit("s").build();

        histogram.record(0.003, &[]);

        let text = render().unwrap();
        assert!(text.contains("test_duration_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("test_duration_seconds_bucket{le=\"0.0025\"} 0"), "{text}");
    }
}
