//! Alerts for what the platform knows of itself, whichever services there are.

use std::time::Duration;

use super::clock::Clock;
use super::rules::{Alert, Group, Rule, Severity};

/// A condition, and how long it has to last.
struct Known {
    name: &'static str,
    expr: &'static str,
    minutes: u32,
    severity: Severity,
    summary: &'static str,
}

/// Services that share a process all show the same series, so each is taken once, by `service`.
/// A replica that stands by measures nothing, and says 0.
const KNOWN: [Known; 12] = [
    Known {
        name: "InstanceDown",
        expr: "up == 0 and on (job) (max by (job) (up) == 1)",
        minutes: 5,
        severity: Severity::Ticket,
        summary: "{{ $labels.job }}: the process at {{ $labels.instance }} does not answer, others \
                  do",
    },
    Known {
        name: "SagaParked",
        expr: "max by (service) (mesh_saga_parked) > 0",
        minutes: 1,
        severity: Severity::Page,
        summary: "{{ $labels.service }}: {{ $value }} sagas wait for an operator",
    },
    Known {
        name: "SagaStuck",
        expr: "max by (service) (mesh_saga_oldest_age_seconds) > 120",
        minutes: 1,
        severity: Severity::Page,
        summary: "{{ $labels.service }}: the oldest saga under way is {{ $value | \
                  humanizeDuration }} old",
    },
    Known {
        name: "DeadLetters",
        expr: "max by (service, stream) (mesh_dead_letters) > 0",
        minutes: 1,
        severity: Severity::Ticket,
        summary: "{{ $labels.service }}: {{ $value }} events of `{{ $labels.stream }}` could not be \
                  applied",
    },
    Known {
        name: "RelayLag",
        expr: "max by (service, stream) (mesh_relay_lag_seconds) > 30",
        minutes: 1,
        severity: Severity::Page,
        summary: "{{ $labels.service }}: its oldest event that nobody was told of is {{ $value | \
                  humanizeDuration }} old",
    },
    Known {
        name: "ConsumerStuck",
        expr: "max by (service, stream) (mesh_consumer_lag) > 0\n\
               unless on (service, stream)\n\
               sum by (service, stream) (increase(mesh_consumer_handled_total[WINDOW])) > 0",
        minutes: 5,
        severity: Severity::Ticket,
        summary: "{{ $labels.service }}: {{ $value }} events of `{{ $labels.stream }}` wait, and \
                  none is applied",
    },
    Known {
        name: "ProjectionLag",
        expr: "max by (service, view) (mesh_projection_lag_seconds) > 30",
        minutes: 1,
        severity: Severity::Ticket,
        summary: "{{ $labels.service }}: the view `{{ $labels.view }}` is {{ $value | \
                  humanizeDuration }} behind",
    },
    Known {
        name: "ProjectionStopped",
        expr: "max by (service, view) (mesh_projection_stopped) > 0",
        minutes: 1,
        severity: Severity::Ticket,
        summary: "{{ $labels.service }}: the view `{{ $labels.view }}` has stopped on a row that it \
                  fails on",
    },
    // A breaker before a service that is gone tells nothing that ServiceGone does not.
    Known {
        name: "BreakerOpen",
        expr: "max by (job, target) (mesh_breaker_state{state=\"OPEN\"}) > 0\n\
               and on (target)\n\
               max by (target) (label_replace(up, \"target\", \"$1\", \"job\", \"(.+)\")) == 1",
        minutes: 5,
        severity: Severity::Ticket,
        summary: "{{ $labels.job }}: no calls go to {{ $value }} endpoints of {{ $labels.target }}, \
                  which is there",
    },
    Known {
        name: "PolicyRefused",
        expr: "max by (job) (mesh_policy_refused) > 0",
        minutes: 1,
        severity: Severity::Ticket,
        summary: "{{ $labels.job }}: its policy file asks for too much, and is not obeyed",
    },
    // Whoever is refused tries again and again, so the count grows as long as it lasts.
    Known {
        name: "BrokerRefuses",
        expr: "sum by (service) (increase(mesh_nats_refusals_total[WINDOW])) > 0",
        minutes: 5,
        severity: Severity::Ticket,
        summary: "{{ $labels.service }}: the broker refuses what it asks for",
    },
    Known {
        name: "RevocationsUnknown",
        expr: "max by (service) (mesh_auth_revocations_unknown) > 0",
        minutes: 5,
        severity: Severity::Ticket,
        summary: "{{ $labels.service }}: it does not hear which tokens are revoked",
    },
];

const MINUTE: Duration = Duration::from_secs(60);

/// The rules, the same for every set of services.
pub(super) fn groups(clock: &Clock) -> Vec<Group> {
    let rules = KNOWN.iter().map(|known| {
        let window = clock.window(MINUTE * known.minutes);
        Rule::Alert(Alert {
            name: known.name,
            expr: known.expr.replace("WINDOW", &window),
            after: Some(window),
            severity: known.severity,
            labels: Vec::new(),
            summary: known.summary.to_owned(),
        })
    });
    vec![Group { name: "platform".to_owned(), rules: rules.collect() }]
}
