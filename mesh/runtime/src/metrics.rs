//! Metrics of this process, for every service in it: shown by `/metrics` of each admin port.

use std::sync::LazyLock;

use opentelemetry::metrics::{Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, SdkMeterProvider, Stream,
};
use prometheus::{Encoder as _, Registry, TextEncoder};

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
}

/// Returns the meter that every instrument comes from.
///
/// Histograms with the unit `s` have boundaries for seconds. Several services can share a process,
/// so give what belongs to one of them the attribute `service`.
pub fn meter() -> Meter {
    METRICS.provider.meter("mesh")
}

/// Returns a histogram of durations in seconds.
pub fn seconds(name: &'static str, description: &'static str) -> Histogram<f64> {
    meter().f64_histogram(name).with_unit("s").with_description(description).build()
}

/// Renders every metric in Prometheus' text format.
pub fn render() -> Result<String, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&METRICS.registry.gather(), &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
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
        let provider =
            SdkMeterProvider::builder().with_reader(exporter).with_view(seconds_view).build();
        Self { registry, provider }
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
