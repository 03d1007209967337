//! What is counted of the old system.

use std::{sync::LazyLock, time::Duration};

use mesh_runtime::metrics::{Seconds, meter, seconds};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};

static REQUESTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("gateway.legacy.requests")
        .with_unit("{request}")
        .with_description("Requests at routes that an old system had, and who answered them")
        .build()
});
static SHADOWS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("gateway.legacy.shadow")
        .with_unit("{request}")
        .with_description("Reads that were asked of the other side, too, and how that ended")
        .build()
});
static DURATIONS: LazyLock<Seconds> =
    LazyLock::new(|| seconds("gateway.legacy.duration", "Duration of requests to old systems"));
static OPEN: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("gateway.legacy.circuit_open")
        .with_description("1 while an old system is left alone because it fails")
        .build()
});

/// Who has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    New,
    Legacy,
    /// The service, since the old system did not.
    Fallback,
    /// Neither.
    Nobody,
}

/// How a shadow read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shadow {
    Equal,
    Different,
    /// There is nothing to compare.
    Failed,
    /// Too many were under way.
    Dropped,
}

pub(super) fn answered(route: &str, by: Answered) {
    let by = match by {
        Answered::New => "new",
        Answered::Legacy => "legacy",
        Answered::Fallback => "fallback",
        Answered::Nobody => "nobody",
    };
    REQUESTS.add(1, &[service(), of_route(route), KeyValue::new("answered_by", by)]);
}

pub(super) fn shadow(route: &str, outcome: Shadow) {
    let outcome = match outcome {
        Shadow::Equal => "equal",
        Shadow::Different => "different",
        Shadow::Failed => "failed",
        Shadow::Dropped => "dropped",
    };
    SHADOWS.add(1, &[service(), of_route(route), KeyValue::new("outcome", outcome)]);
}

/// Notes how long `backend` took, and how that ended.
pub(super) fn took(backend: &str, outcome: &'static str, time: Duration) {
    let labels = [service(), of_backend(backend), KeyValue::new("outcome", outcome)];
    DURATIONS.record(time.as_secs_f64(), &labels);
}

pub(super) fn circuit(backend: &str, is_open: bool) {
    OPEN.record(is_open.into(), &[service(), of_backend(backend)]);
}

fn service() -> KeyValue {
    KeyValue::new("service", "gateway")
}

fn of_route(route: &str) -> KeyValue {
    KeyValue::new("http.route", route.to_owned())
}

fn of_backend(backend: &str) -> KeyValue {
    KeyValue::new("backend", backend.to_owned())
}
