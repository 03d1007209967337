//! What the engine measures.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, UpDownCounter},
};

/// Instruments of one engine.
#[derive(Debug)]
pub(crate) struct Metrics {
    service: KeyValue,
    driven: UpDownCounter<i64>,
    steps: Counter<u64>,
    duration: Histogram<f64>,
    conflicts: Counter<u64>,
    parked: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new(service: &'static str) -> Self {
        let meter = mesh_runtime::metrics::meter();
        Self {
            service: KeyValue::new("service", service),
            driven: meter.i64_up_down_counter("mesh.saga.driven").with_unit("{saga}").build(),
            steps: meter.u64_counter("mesh.saga.steps").with_unit("{step}").build(),
            duration: meter.f64_histogram("mesh.saga.step.duration").with_unit("s").build(),
            conflicts: meter.u64_counter("mesh.saga.conflicts").with_unit("{change}").build(),
            parked: meter.u64_counter("mesh.saga.parked").with_unit("{saga}").build(),
        }
    }

    pub(crate) fn driving(&self, change: i64) {
        self.driven.add(change, std::slice::from_ref(&self.service));
    }

    pub(crate) fn step(&self, label: &'static str, verdict: &'static str, seconds: f64) {
        let attributes =
            [self.service.clone(), KeyValue::new("step", label), KeyValue::new("verdict", verdict)];
        self.steps.add(1, &attributes);
        self.duration.record(seconds, &attributes[..2]);
    }

    pub(crate) fn conflict(&self) {
        self.conflicts.add(1, std::slice::from_ref(&self.service));
    }

    /// Counts a saga that stopped at a step and waits for a person.
    pub(crate) fn parked(&self, label: &'static str) {
        self.parked.add(1, &[self.service.clone(), KeyValue::new("step", label)]);
    }
}
