//! Calls between services: attempts, repetitions, connections, breakers, refusals.

use super::{Dashboard, Sketch, Unit, dashboard};

pub(super) fn board() -> Dashboard {
    dashboard("shopmesh-mesh", "Shopmesh: mesh", false, &SKETCHES)
}

const SKETCHES: [Sketch; 10] = [
    Sketch::lines(
        "Calls from service to service",
        "Each counts once, however often it was sent.",
        Unit::PerSecond,
        &[(
            "sum by (service, target) (rate(rpc_client_call_duration_seconds_count[$__rate_interval]))",
            "{{service}} to {{target}}",
        )],
    ),
    Sketch::lines(
        "Calls that did not end well",
        "After repetition, refusals included.",
        Unit::PerSecond,
        &[(
            "sum by (service, target, rpc_response_status_code) (rate(rpc_client_call_duration_seconds_count{rpc_response_status_code!=\"OK\"}[$__rate_interval])) or vector(0)",
            "{{service}} to {{target}} {{rpc_response_status_code}}",
        )],
    ),
    Sketch::lines(
        "Slowest hundredth of calls",
        "As the caller sees it, repetitions included.",
        Unit::Seconds,
        &[(
            "histogram_quantile(0.99, sum by (service, target, le) (rate(rpc_client_call_duration_seconds_bucket[$__rate_interval])))",
            "{{service}} to {{target}}",
        )],
    ),
    Sketch::lines(
        "Attempts by status",
        "More attempts than calls: something is repeated.",
        Unit::PerSecond,
        &[(
            "sum by (grpc_target, grpc_status) (rate(grpc_client_attempt_duration_seconds_count[$__rate_interval]))",
            "{{grpc_target}} {{grpc_status}}",
        )],
    ),
    Sketch::lines(
        "Repeated sendings",
        "Retries for what may have been done, and resends of what surely was not.",
        Unit::PerSecond,
        &[
            (
                "sum by (grpc_target) (rate(grpc_client_call_retries_sum[$__rate_interval])) or vector(0)",
                "retries {{grpc_target}}",
            ),
            (
                "sum by (target) (rate(mesh_rpc_client_resends_total[$__rate_interval])) or vector(0)",
                "resends {{target}}",
            ),
        ],
    ),
    Sketch::lines(
        "Endpoints by state",
        "READY takes calls; others do not.",
        Unit::Count,
        &[("sum by (target, state) (mesh_balancer_endpoints)", "{{target}} {{state}}")],
    ),
    Sketch::lines(
        "Breakers that are not closed",
        "As each caller sees it; 0 is normal.",
        Unit::Count,
        &[(
            "sum by (job, target) (mesh_breaker_state{state!=\"CLOSED\"})",
            "{{job}} to {{target}}",
        )],
    ),
    Sketch::lines(
        "Changes of breakers",
        "And why.",
        Unit::PerSecond,
        &[(
            "sum by (target, state, reason) (rate(mesh_breaker_transitions_total[$__rate_interval])) or vector(0)",
            "{{target}} {{state}} {{reason}}",
        )],
    ),
    Sketch::lines(
        "Calls refused",
        "By the caller for want of an endpoint or of room; by the server under overload or rate.",
        Unit::PerSecond,
        &[
            (
                "sum(rate(mesh_balancer_refused_total[$__rate_interval])) or vector(0)",
                "no endpoint",
            ),
            (
                "sum(rate(mesh_rpc_client_bulkhead_refusals_total[$__rate_interval])) or vector(0)",
                "caller is full",
            ),
            (
                "sum(rate(mesh_rpc_server_shed_total[$__rate_interval])) or vector(0)",
                "server sheds",
            ),
            (
                "sum(rate(mesh_rpc_server_rate_limited_total[$__rate_interval])) or vector(0)",
                "rate",
            ),
        ],
    ),
    Sketch::lines(
        "Connections made",
        "An error is tried again with growing pauses.",
        Unit::PerSecond,
        &[(
            "sum by (target, outcome) (rate(mesh_connection_connects_total[$__rate_interval]))",
            "{{target}} {{outcome}}",
        )],
    ),
];
