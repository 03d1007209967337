//! Orders on their way: how long each step takes, and what becomes of it.

use super::{Dashboard, Sketch, Unit, dashboard};

pub(super) fn board() -> Dashboard {
    dashboard("shopmesh-checkout", "Shopmesh: checkout", false, &SKETCHES)
}

const SKETCHES: [Sketch; 8] = [
    Sketch::numbers(
        "Orders confirmed",
        "Per second: their payment is captured.",
        Unit::PerSecond,
        &[(
            "sum(rate(mesh_saga_step_reached_seconds_count{service=\"orders\",step=\"capture\"}[$__rate_interval]))",
            "confirmed",
        )],
    ),
    Sketch::numbers(
        "Orders under way",
        "Those that have something left to do.",
        Unit::Count,
        &[("max(mesh_saga_awake{service=\"orders\"})", "under way")],
    ),
    Sketch::numbers(
        "Oldest under way",
        "20 s is normal at most: then an unpaid order turns back.",
        Unit::Seconds,
        &[("max(mesh_saga_oldest_age_seconds{service=\"orders\"})", "oldest")],
    ),
    Sketch::numbers(
        "Waiting for an operator",
        "0 is normal; `cargo mesh sagas list --parked` shows them.",
        Unit::Count,
        &[("max(mesh_saga_parked{service=\"orders\"})", "parked")],
    ),
    Sketch::lines(
        "Time from order to confirmation",
        "The objective `checkout` bounds it.",
        Unit::Seconds,
        &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(mesh_saga_step_reached_seconds_bucket{service=\"orders\",step=\"capture\"}[$__rate_interval])))",
                "p50",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(mesh_saga_step_reached_seconds_bucket{service=\"orders\",step=\"capture\"}[$__rate_interval])))",
                "p99",
            ),
        ],
    ),
    Sketch::lines(
        "Time of each step",
        "On average, repetitions included.",
        Unit::Seconds,
        &[(
            "sum by (step) (rate(mesh_saga_step_duration_seconds_sum{service=\"orders\"}[$__rate_interval])) / sum by (step) (rate(mesh_saga_step_duration_seconds_count{service=\"orders\"}[$__rate_interval]))",
            "{{step}}",
        )],
    ),
    Sketch::lines(
        "What becomes of steps",
        "Refusals are customers' affairs; out_of_time means that a service did not answer.",
        Unit::PerSecond,
        &[(
            "sum by (step, verdict) (rate(mesh_saga_steps_total{service=\"orders\"}[$__rate_interval]))",
            "{{step}} {{verdict}}",
        )],
    ),
    Sketch::lines(
        "Changes that met another one",
        "A cancel or another replica was faster; the order goes on from there.",
        Unit::PerSecond,
        &[(
            "sum(rate(mesh_saga_conflicts_total{service=\"orders\"}[$__rate_interval])) or vector(0)",
            "conflicts",
        )],
    ),
];
