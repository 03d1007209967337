//! What the balancer counts; never by address.

use std::sync::{Arc, LazyLock};

use mesh_runtime::metrics::{Seconds, meter, seconds};
use opentelemetry::{
    KeyValue, StringValue,
    metrics::{Counter, Gauge},
};

use super::{Circuit, State};

static BREAKERS: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("mesh.breaker.state")
        .with_description("Endpoints whose breaker is in the state")
        .build()
});
static TRANSITIONS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("mesh.breaker.transitions")
        .with_description("Changes of a breaker's state")
        .build()
});
static ENDPOINTS: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter().u64_gauge("mesh.balancer.endpoints").with_description("Endpoints in the state").build()
});
static WAIT: LazyLock<Seconds> = LazyLock::new(|| {
    seconds("mesh.balancer.wait", "Time that calls waited for a ready endpoint, if they had to")
});
static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("mesh.balancer.refused")
        .with_description("Calls refused unsent for want of an endpoint")
        .build()
});
static CONNECTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("mesh.connection.connects")
        .with_description("Connections made or failed to be made")
        .build()
});
static ENDS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("mesh.connection.ends")
        .with_description("Connections that ended, and how")
        .build()
});

/// The instruments of one target.
#[derive(Debug)]
pub(super) struct Metrics {
    target: KeyValue,
}

impl Metrics {
    pub(super) fn new(target: &Arc<str>) -> Self {
        Self { target: KeyValue::new("target", StringValue::from(Arc::clone(target))) }
    }

    pub(super) fn breakers(&self, circuit: Circuit, count: usize) {
        BREAKERS.record(count as u64, &self.with("state", circuit.as_str()));
    }

    pub(super) fn endpoints(&self, state: State, count: usize) {
        ENDPOINTS.record(count as u64, &self.with("state", state.as_str()));
    }

    pub(super) fn transition(&self, to: Circuit, reason: &'static str) {
        let [target, to] = self.with("state", to.as_str());
        TRANSITIONS.add(1, &[target, to, KeyValue::new("reason", reason)]);
    }

    pub(super) fn waited(&self, seconds: f64) {
        WAIT.record(seconds, std::slice::from_ref(&self.target));
    }

    pub(super) fn refused(&self, reason: &'static str) {
        REFUSED.add(1, &self.with("reason", reason));
    }

    pub(super) fn connected(&self, worked: bool) {
        CONNECTS.add(1, &self.with("outcome", if worked { "ok" } else { "error" }));
    }

    pub(super) fn disconnected(&self, how: &'static str) {
        ENDS.add(1, &self.with("how", how));
    }

    fn with(&self, key: &'static str, value: &'static str) -> [KeyValue; 2] {
        [self.target.clone(), KeyValue::new(key, value)]
    }
}
