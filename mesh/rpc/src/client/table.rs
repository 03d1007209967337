//! What the admin port shows of a channel.

use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;

/// The channel's endpoints and accounts.
pub(super) fn of(shared: &Shared) -> Value {
    let report = shared.endpoints.report();
    let (bulkhead, budget) = (shared.bulkhead.state(), shared.retries.budget().state());
    json!({
        "source": report.source,
        "state": report.state.as_str(),
        "state_seconds": report.age.as_secs(),
        "why": report.why.as_deref(),
        "next_lookup_seconds": report.next.map(|next| next.as_secs_f64().ceil()),
        "balanced_by": if report.sidecar { "sidecar" } else { "this process" },
        "endpoints": shared.balancer.table(),
        "bulkhead": {
            "calls": bulkhead.in_flight,
            "max_calls": bulkhead.calls,
            "waiting": bulkhead.waiting,
            "max_waiting": bulkhead.queue,
        },
        "budget": { "tokens": budget.tokens, "max_tokens": budget.most, "allows": budget.allows },
        "methods": methods(shared),
    })
}

fn methods(shared: &Shared) -> Vec<Value> {
    let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
    let mut methods = shared.retries.methods();
    methods.sort_by(|a, b| a.method.cmp(&b.method));
    let row = |known: crate::retry::Known| {
        json!({
            "method": known.method,
            "median_ms": millis(known.median),
            "p95_ms": millis(known.p95),
        })
    };
    methods.into_iter().map(row).collect()
}
