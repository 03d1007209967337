//! Is the shop well? If not, whose page is next?

use super::{Dashboard, Sketch, Unit, dashboard};

pub(super) fn board() -> Dashboard {
    dashboard("shopmesh-overview", "Shopmesh: overview", false, &SKETCHES)
}

const SKETCHES: [Sketch; 10] = [
    Sketch::numbers(
        "Processes that answer",
        "Of each service. 0 is an outage.",
        Unit::Count,
        &[("sum by (job) (up)", "{{job}}")],
    ),
    Sketch::numbers(
        "Alerts",
        "Those that fire now.",
        Unit::Count,
        &[("count(ALERTS{alertstate=\"firing\"}) or vector(0)", "firing")],
    ),
    Sketch::numbers(
        "Sagas that wait for an operator",
        "0 is normal; `cargo mesh sagas list --parked` shows them.",
        Unit::Count,
        &[("max by (service) (mesh_saga_parked)", "{{service}}")],
    ),
    Sketch::numbers(
        "Dead letters",
        "0 is normal; `cargo mesh dlq` shows them.",
        Unit::Count,
        &[("sum by (service) (max by (service, stream) (mesh_dead_letters))", "{{service}}")],
    ),
    Sketch::lines(
        "Error budget left",
        "Of each objective, over its window. Below 0 it is broken.",
        Unit::Share,
        &[("slo:budget_left", "{{service}} {{objective}}")],
    ),
    Sketch::lines(
        "Budget spent, times what the window allows",
        "Above 1 for long, the budget does not last. Above 14.4 for an hour somebody is paged.",
        Unit::Count,
        &[("slo:bad:ratio_rate5m / (1 - slo:target)", "{{service}} {{objective}}")],
    ),
    Sketch::lines(
        "Calls answered",
        "By each service.",
        Unit::PerSecond,
        &[(
            "sum by (service) (rate(rpc_server_call_duration_seconds_count[$__rate_interval]))",
            "{{service}}",
        )],
    ),
    Sketch::lines(
        "Calls that failed",
        "By the service's own fault.",
        Unit::PerSecond,
        &[(
            "sum by (service) (rate(rpc_server_call_duration_seconds_count{rpc_response_status_code=~\"UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS\"}[$__rate_interval])) or 0 * sum by (service) (rate(rpc_server_call_duration_seconds_count[$__rate_interval]))",
            "{{service}}",
        )],
    ),
    Sketch::lines(
        "Slowest tenth and hundredth of calls",
        "From here up, among calls that succeeded.",
        Unit::Seconds,
        &[
            (
                "histogram_quantile(0.9, sum by (service, le) (rate(rpc_server_call_duration_seconds_bucket{rpc_response_status_code=\"OK\"}[$__rate_interval])))",
                "{{service}} p90",
            ),
            (
                "histogram_quantile(0.99, sum by (service, le) (rate(rpc_server_call_duration_seconds_bucket{rpc_response_status_code=\"OK\"}[$__rate_interval])))",
                "{{service}} p99",
            ),
        ],
    ),
    Sketch::lines(
        "Sagas under way",
        "Those that have something left to do.",
        Unit::Count,
        &[("max by (service) (mesh_saga_awake)", "{{service}}")],
    ),
];
