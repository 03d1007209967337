//! Events: published by relays, applied by consumers, added to views.

use super::{Dashboard, Sketch, Unit, dashboard};

pub(super) fn board() -> Dashboard {
    dashboard("shopmesh-messaging", "Shopmesh: messaging", false, &SKETCHES)
}

const SKETCHES: [Sketch; 11] = [
    Sketch::lines(
        "Events published",
        "By each service's relay.",
        Unit::PerSecond,
        &[("sum by (service) (rate(mesh_relay_published_total[$__rate_interval]))", "{{service}}")],
    ),
    Sketch::lines(
        "Oldest event that is not published",
        "Below a second is normal; it grows while the broker is away.",
        Unit::Seconds,
        &[("max by (service) (mesh_relay_lag_seconds)", "{{service}}")],
    ),
    Sketch::lines(
        "Events applied",
        "By each consumer; repeated deliveries count.",
        Unit::PerSecond,
        &[(
            "sum by (service, stream) (rate(mesh_consumer_handled_total[$__rate_interval]))",
            "{{service}} of {{stream}}",
        )],
    ),
    Sketch::lines(
        "Events that wait",
        "Published and not applied yet.",
        Unit::Count,
        &[("max by (service, stream) (mesh_consumer_lag)", "{{service}} of {{stream}}")],
    ),
    Sketch::lines(
        "Attempts that failed",
        "They are repeated with growing pauses.",
        Unit::PerSecond,
        &[(
            "sum by (service, stream) (rate(mesh_consumer_failed_total[$__rate_interval])) or vector(0)",
            "{{service}} of {{stream}}",
        )],
    ),
    Sketch::lines(
        "Dead letters",
        "0 is normal. Later events of the same key wait behind them.",
        Unit::Count,
        &[("max by (service, stream) (mesh_dead_letters)", "{{service}} of {{stream}}")],
    ),
    Sketch::lines(
        "Refused by the broker",
        "0 is normal. The service's log says what it may not do, and that its mesh.toml lacks it.",
        Unit::PerSecond,
        &[(
            "sum by (service) (rate(mesh_nats_refusals_total[$__rate_interval])) or vector(0)",
            "{{service}}",
        )],
    ),
    Sketch::lines(
        "How far views are behind",
        "Below a second is normal.",
        Unit::Seconds,
        &[("max by (service, view) (mesh_projection_lag_seconds)", "{{service}} {{view}}")],
    ),
    Sketch::lines(
        "Rows added to views",
        "Of each service's log.",
        Unit::PerSecond,
        &[(
            "sum by (service, view) (rate(mesh_projection_applied_total[$__rate_interval]))",
            "{{service}} {{view}}",
        )],
    ),
    Sketch::lines(
        "Who does not know what is revoked",
        "0 is normal. 1 while the broker is away: then tokens go by the declared rule.",
        Unit::Count,
        &[("max by (service) (mesh_auth_revocations_unknown) or vector(0)", "{{service}}")],
    ),
    Sketch::lines(
        "How old what is known of flags is",
        "0 is normal. It grows while the broker is away: then what was heard last holds.",
        Unit::Seconds,
        &[("max by (service) (mesh_flags_age_seconds) or vector(0)", "{{service}}")],
    ),
];
