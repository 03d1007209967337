//! How calls to a service are spread: over its versions by weight, over its processes by load; and
//! whom each service's sidecar knows at all.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::sides;
use crate::generate::cluster::{self, Fault, Member, Plan, host};

/// The name of the route that calls take which ask for nothing else.
pub(crate) const EVERYBODY: &str = "all";
const API: &str = "networking.istio.io/v1";
/// Beyond the longest deadline, so that the application's is always the one that ends a call.
const MARGIN: Duration = Duration::from_secs(5);
/// How often processes that fail are looked for, and for how long one is left alone at first.
const LOOK: &str = "1s";
const EJECTED: &str = "5s";
/// Connections are opened in so much time, or not at all.
const CONNECT: &str = "1s";
/// Streams of a connection; a client opens the next one then.
const STREAMS: u32 = 100;
/// Processes of one service that a sidecar keeps connections to at most.
const CONNECTIONS: u32 = 256;
/// Calls that an ingress lets in to a public service at once, and its connections for them. Customers have
/// no stack of ours before it that would refuse first, and each that follows an order is a call for as long
/// as it looks on: the door itself says what is too much.
const CUSTOMERS: usize = 65_536;
const CUSTOMERS_CONNECTIONS: u32 = 1024;

/// A service's DestinationRule, VirtualService and Sidecar.
pub(super) fn of(plan: &Plan<'_>, member: &Member<'_>) -> Result<Vec<Value>> {
    let service = member.name();
    Ok(vec![
        cluster::object(API, "DestinationRule", service, destination(plan, member)),
        cluster::object(API, "VirtualService", service, routes(plan, member)?),
        cluster::object(API, "Sidecar", service, sidecar(member)),
    ])
}

fn destination(plan: &Plan<'_>, member: &Member<'_>) -> Value {
    let target = plan.contracts.target(member.name());
    let share = (target.outlier.max_share * 100.0).round() as u32;
    let subsets = member.declared.versions.iter();
    let subsets = subsets.map(|it| json!({ "labels": { "version": it }, "name": it }));
    let (calls, connections) = match member.is_public() {
        true => (CUSTOMERS, CUSTOMERS_CONNECTIONS),
        false => (target.bulkhead.calls, CONNECTIONS),
    };
    json!({ "spec": {
        "host": host(member.name()),
        "subsets": subsets.collect::<Vec<_>>(),
        "trafficPolicy": {
            "connectionPool": {
                "http": {
                    "h2UpgradePolicy": "UPGRADE",
                    "http1MaxPendingRequests": calls,
                    "http2MaxRequests": calls,
                    "maxConcurrentStreams": STREAMS,
                },
                "tcp": {
                    "connectTimeout": CONNECT,
                    "maxConnections": connections,
                    "tcpKeepalive": { "interval": "10s", "probes": 3, "time": "20s" },
                },
            },
            "loadBalancer": {
                // Within the zone while enough of it is healthy, which is what the ejections say.
                "localityLbSetting": { "enabled": true },
                "simple": "LEAST_REQUEST",
            },
            "outlierDetection": {
                "baseEjectionTime": EJECTED,
                // A call that fails wherever it goes must not take out one process after the other.
                "consecutive5xxErrors": 0,
                "consecutiveGatewayErrors": target.breaker.consecutive,
                "interval": LOOK,
                "maxEjectionPercent": share,
            },
            "tls": { "mode": "ISTIO_MUTUAL" },
        },
    } })
}

fn routes(plan: &Plan<'_>, member: &Member<'_>) -> Result<Value> {
    let service = member.name();
    let route = plan.traffic.routes.get(service);
    let route = route.with_context(|| format!("no route for {service}"))?;
    let longest = member.patience(plan);
    let subset = |version: &str| json!({ "host": host(service), "subset": version });
    let spread = route.weights.iter().filter(|(_, weight)| *weight > 0);
    let spread =
        spread.map(|(version, weight)| json!({ "destination": subset(version), "weight": weight }));
    let mut all = json!({
        "name": EVERYBODY,
        // The caller's stack repeats what is safe to repeat.
        "retries": { "attempts": 0 },
        "route": spread.collect::<Vec<_>>(),
        "timeout": seconds(longest),
    });
    if let Some(mirror) = &route.mirror {
        all["mirror"] = subset(&mirror.version);
        all["mirrorPercentage"] = json!({ "value": mirror.percent });
    }
    if let Some(fault) = &route.fault {
        all["fault"] = faulty(fault);
    }
    let mut http = Vec::new();
    if let Some(canary) = &route.canary {
        http.push(json!({
            "match": [{ "headers": { (cluster::CANARY): { "exact": "true" } } }],
            "name": "canary",
            "retries": { "attempts": 0 },
            "route": [{ "destination": subset(canary), "weight": 100 }],
            "timeout": seconds(longest),
        }));
    }
    if route.sticky {
        http.extend(sides::of(&route.weights, &all, subset));
    }
    http.push(all);
    let mut spec = json!({ "hosts": [host(service)], "http": http });
    if member.is_public() {
        let hosts = plan.traffic.ingress.hosts.iter().cloned();
        spec["gateways"] = json!(["mesh", service]);
        spec["hosts"] = hosts.chain([host(service)]).collect();
    }
    Ok(json!({ "spec": spec }))
}

fn faulty(fault: &Fault) -> Value {
    let mut fields = BTreeMap::new();
    if fault.abort_percent > 0 {
        let share = json!({ "value": fault.abort_percent });
        fields.insert("abort", json!({ "grpcStatus": "UNAVAILABLE", "percentage": share }));
    }
    if let Some(delay) = &fault.delay {
        let time = format!("{}ms", delay.milliseconds);
        let share = json!({ "value": delay.percent });
        fields.insert("delay", json!({ "fixedDelay": time, "percentage": share }));
    }
    json!(fields)
}

/// A sidecar knows those whom its service calls, and the control plane.
fn sidecar(member: &Member<'_>) -> Value {
    let mut hosts: Vec<String> =
        member.declared.calls.iter().map(|call| format!("./{}", host(&call.service))).collect();
    hosts.push("istio-system/*".to_owned());
    hosts.sort();
    json!({ "spec": {
        "egress": [{ "hosts": hosts }],
        "outboundTrafficPolicy": { "mode": "REGISTRY_ONLY" },
        "workloadSelector": { "labels": cluster::label(member.name()) },
    } })
}

impl Member<'_> {
    /// How long whatever stands before it waits for the end of a call.
    pub(in crate::generate) fn patience(&self, plan: &Plan<'_>) -> Duration {
        self.longest(plan) + MARGIN
    }

    /// The longest deadline of any call that it answers, its own RPCs' or those that it passes on.
    pub(super) fn longest(&self, plan: &Plan<'_>) -> Duration {
        let passed = plan.services.iter().filter(|_| self.is_public());
        let all = passed.flat_map(|it| &it.methods).chain(&self.methods);
        all.map(|method| method.max_deadline).max().unwrap_or_default()
    }
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs() + u64::from(time.subsec_nanos() > 0))
}
