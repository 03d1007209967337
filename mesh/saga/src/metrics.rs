//! What the engine measures.

use mesh_runtime::metrics::{Seconds, seconds};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, UpDownCounter},
};

/// Instruments of one engine.
#[derive(Debug)]
pub(crate) struct Metrics {
    service: KeyValue,
    driven: UpDownCounter<i64>,
    steps: Counter<u64>,
    duration: Seconds,
    reached: Seconds,
    awake: Gauge<u64>,
    parked: Gauge<u64>,
    oldest: Gauge<f64>,
    conflicts: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new(service: &'static str) -> Self {
        let meter = mesh_runtime::metrics::meter();
        Self {
            service: KeyValue::new("service", service),
            driven: meter.i64_up_down_counter("mesh.saga.driven").with_unit("{saga}").build(),
            steps: meter.u64_counter("mesh.saga.steps").with_unit("{step}").build(),
            duration: seconds("mesh.saga.step.duration", "Time that steps of sagas took"),
            reached: seconds(
                "mesh.saga.step.reached",
                "Age of sagas when a step of theirs was recorded as done",
            ),
            awake: meter.u64_gauge("mesh.saga.awake").with_unit("{saga}").build(),
            parked: meter.u64_gauge("mesh.saga.parked").with_unit("{saga}").build(),
            oldest: meter.f64_gauge("mesh.saga.oldest.age").with_unit("s").build(),
            conflicts: meter.u64_counter("mesh.saga.conflicts").with_unit("{change}").build(),
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

    /// A step is recorded as done, so long after its saga has begun or an operator let it go on.
    pub(crate) fn reached(&self, label: &'static str, seconds: f64) {
        let attributes = [self.service.clone(), KeyValue::new("step", label)];
        self.reached.record(seconds, &attributes);
    }

    /// What a sweep has found: sagas that have not ended, those of them that wait for an operator,
    /// and the age of the oldest that does not wait.
    pub(crate) fn swept(&self, awake: u64, parked: u64, oldest_seconds: f64) {
        let service = std::slice::from_ref(&self.service);
        self.awake.record(awake, service);
        self.parked.record(parked, service);
        self.oldest.record(oldest_seconds, service);
    }

    pub(crate) fn conflict(&self) {
        self.conflicts.add(1, std::slice::from_ref(&self.service));
    }
}
