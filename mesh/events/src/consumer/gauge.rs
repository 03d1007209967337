//! What a consumer measures.

use mesh_runtime::metrics::meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};

/// A consumer's instruments.
#[derive(Clone, Debug)]
pub(super) struct Gauges {
    handled: Counter<u64>,
    failed: Counter<u64>,
    buried: Counter<u64>,
    lag: Gauge<u64>,
    dead_letters: Gauge<u64>,
    labels: [KeyValue; 2],
}

impl Gauges {
    pub(super) fn new(service: &'static str, stream: &'static str) -> Self {
        let meter = meter();
        Self {
            handled: meter
                .u64_counter("mesh_consumer_handled")
                .with_description("Events that were applied, or had been before.")
                .build(),
            failed: meter
                .u64_counter("mesh_consumer_failed")
                .with_description("Attempts to apply an event that failed.")
                .build(),
            buried: meter
                .u64_counter("mesh_consumer_dead_lettered")
                .with_description("Events that became dead letters.")
                .build(),
            lag: meter
                .u64_gauge("mesh_consumer_lag")
                .with_description("Events of the stream that are not applied yet.")
                .build(),
            dead_letters: meter
                .u64_gauge("mesh_dead_letters")
                .with_description("Dead letters that wait for an operator.")
                .build(),
            labels: [KeyValue::new("service", service), KeyValue::new("stream", stream)],
        }
    }

    pub(super) fn handled(&self) {
        self.handled.add(1, &self.labels);
    }

    pub(super) fn failed(&self) {
        self.failed.add(1, &self.labels);
    }

    pub(super) fn buried(&self) {
        self.buried.add(1, &self.labels);
    }

    /// Says nothing of what another replica measures now.
    pub(super) fn stand_by(&self) {
        self.lag(0);
        self.dead_letters(0);
    }

    pub(super) fn lag(&self, events: u64) {
        self.lag.record(events, &self.labels);
    }

    pub(super) fn dead_letters(&self, count: u64) {
        self.dead_letters.record(count, &self.labels);
    }
}
