//! Histograms of durations, whose buckets name a trace to look at.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{BoundHistogram, Histogram},
};

use super::{exemplars, meter};
use crate::trace::{self, TraceContext};

/// A histogram of durations in seconds, with boundaries from half a millisecond to a minute.
///
/// Each bucket remembers, as its exemplar, the latest measurement that was made in a sampled trace. In
/// a trace that is not, or that is sent nowhere, that costs nothing.
#[derive(Clone, Debug)]
pub struct Seconds {
    name: &'static str,
    histogram: Histogram<f64>,
}

/// One series of a [`Seconds`]: its labels were looked up once.
#[derive(Debug)]
pub struct BoundSeconds {
    histogram: BoundHistogram<f64>,
    series: Arc<exemplars::Series>,
}

/// Returns the histogram of this name, whose unit is `s`.
pub fn seconds(name: &'static str, description: &'static str) -> Seconds {
    let histogram =
        meter().f64_histogram(name).with_unit("s").with_description(description).build();
    Seconds { name, histogram }
}

impl Seconds {
    /// Notes a duration of what ends in the current span.
    pub fn record(&self, seconds: f64, labels: &[KeyValue]) {
        self.histogram.record(seconds, labels);
        if let Some(place) = trace::sampled() {
            self.series(labels).keep(seconds, place);
        }
    }

    /// Returns its series of these labels, for places that measure often.
    pub fn bind(&self, labels: &[KeyValue]) -> BoundSeconds {
        BoundSeconds { histogram: self.histogram.bind(labels), series: self.series(labels) }
    }

    fn series(&self, labels: &[KeyValue]) -> Arc<exemplars::Series> {
        let pair = |it: &'_ KeyValue| it.value.as_str().into_owned();
        exemplars::series(self.name, labels.iter().map(|it| (it.key.as_str(), pair(it))))
    }
}

impl BoundSeconds {
    /// Notes a duration of what was done at `place`, if that is sampled.
    pub fn record(&self, seconds: f64, place: Option<TraceContext>) {
        self.histogram.record(seconds);
        if let Some(place) = place.filter(|place| place.sampled) {
            self.series.keep(seconds, place);
        }
    }
}
