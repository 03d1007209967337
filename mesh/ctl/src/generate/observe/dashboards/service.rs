//! One service: what it is asked, how it answers, and whom it asks.

use super::{Dashboard, Sketch, Unit, dashboard};

pub(super) fn board() -> Dashboard {
    dashboard("shopmesh-service", "Shopmesh: service", true, &SKETCHES)
}

const SKETCHES: [Sketch; 8] = [
    Sketch::numbers(
        "Processes that answer",
        "0 is an outage.",
        Unit::Count,
        &[("sum(up{job=\"$service\"})", "processes")],
    ),
    Sketch::numbers(
        "Error budget left",
        "Of each of its objectives.",
        Unit::Share,
        &[("slo:budget_left{service=\"$service\"}", "{{objective}}")],
    ),
    Sketch::numbers(
        "Calls under a fault of its own",
        "Of all, over five minutes.",
        Unit::Share,
        &[("slo:bad:ratio_rate5m{service=\"$service\",objective=\"calls\"}", "share")],
    ),
    Sketch::numbers(
        "Slowest hundredth",
        "From here up, among calls that succeeded.",
        Unit::Seconds,
        &[(
            "histogram_quantile(0.99, sum by (le) (rate(rpc_server_call_duration_seconds_bucket{service=\"$service\",rpc_response_status_code=\"OK\"}[$__rate_interval])))",
            "p99",
        )],
    ),
    Sketch::lines(
        "Calls by method",
        "What it is asked.",
        Unit::PerSecond,
        &[(
            "sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count{service=\"$service\"}[$__rate_interval]))",
            "{{rpc_method}}",
        )],
    ),
    Sketch::lines(
        "Calls by status",
        "How it answers. FAILED_PRECONDITION is a refusal, and no fault.",
        Unit::PerSecond,
        &[(
            "sum by (rpc_response_status_code) (rate(rpc_server_call_duration_seconds_count{service=\"$service\"}[$__rate_interval]))",
            "{{rpc_response_status_code}}",
        )],
    ),
    Sketch::lines(
        "Slowest tenth by method",
        "From here up, among calls that succeeded.",
        Unit::Seconds,
        &[(
            "histogram_quantile(0.9, sum by (rpc_method, le) (rate(rpc_server_call_duration_seconds_bucket{service=\"$service\",rpc_response_status_code=\"OK\"}[$__rate_interval])))",
            "{{rpc_method}}",
        )],
    ),
    Sketch::lines(
        "Calls that it makes, by how they end",
        "After repetition. Whoever calls nobody has 0 here.",
        Unit::PerSecond,
        &[(
            "sum by (target, rpc_response_status_code) (rate(rpc_client_call_duration_seconds_count{service=\"$service\"}[$__rate_interval])) or label_replace(vector(0), \"target\", \"nobody\", \"\", \"\")",
            "{{target}} {{rpc_response_status_code}}",
        )],
    ),
];
