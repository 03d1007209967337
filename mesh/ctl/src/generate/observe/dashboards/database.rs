//! What services write, and how long their databases take.

use super::{Dashboard, Sketch, Unit, dashboard};

pub(super) fn board() -> Dashboard {
    dashboard("shopmesh-database", "Shopmesh: database", false, &SKETCHES)
}

const SKETCHES: [Sketch; 6] = [
    Sketch::lines(
        "Commits",
        "Of gathered transactions.",
        Unit::PerSecond,
        &[(
            "sum by (service) (rate(mesh_log_batch_duration_seconds_count[$__rate_interval]))",
            "{{service}}",
        )],
    ),
    Sketch::lines(
        "Time of a commit",
        "Half and all but a hundredth are faster.",
        Unit::Seconds,
        &[
            (
                "histogram_quantile(0.5, sum by (service, le) (rate(mesh_log_batch_duration_seconds_bucket[$__rate_interval])))",
                "{{service}} p50",
            ),
            (
                "histogram_quantile(0.99, sum by (service, le) (rate(mesh_log_batch_duration_seconds_bucket[$__rate_interval])))",
                "{{service}} p99",
            ),
        ],
    ),
    Sketch::lines(
        "Commands of a commit",
        "On average. It grows under load, which is what keeps commits few.",
        Unit::Count,
        &[(
            "sum by (service) (rate(mesh_log_batch_size_sum[$__rate_interval])) / sum by (service) (rate(mesh_log_batch_size_count[$__rate_interval]))",
            "{{service}}",
        )],
    ),
    Sketch::lines(
        "Commands",
        "What is written, in all commits.",
        Unit::PerSecond,
        &[("sum by (service) (rate(mesh_log_batch_size_sum[$__rate_interval]))", "{{service}}")],
    ),
    Sketch::lines(
        "Rows of the log that are not published",
        "The outbox; near 0 is normal.",
        Unit::Count,
        &[("max by (service) (mesh_relay_lag_rows)", "{{service}}")],
    ),
    Sketch::lines(
        "Rows of the log that views lack",
        "Near 0 is normal.",
        Unit::Count,
        &[("max by (service, view) (mesh_projection_lag_rows)", "{{service}} {{view}}")],
    ),
];
