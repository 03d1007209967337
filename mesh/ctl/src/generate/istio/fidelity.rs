//! Who enforces what in a cluster. What the sidecars do is read from the objects themselves: what
//! they would do besides the application, or neither of them would, stops the generator.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::generate::cluster::{Member, Plan};

/// Values of the policy of calls that the application leaves to its sidecar, what that is told of
/// them, and what it cannot be told.
struct Left {
    /// As `FACETS` has them; a dot at the end is all that begin so.
    key: &'static str,
    told: &'static str,
    lost: &'static str,
}

const LEFT: [Left; 2] = [
    Left {
        key: "targets.balance.",
        told: "DestinationRule `loadBalancer`: `LEAST_REQUEST`, by locality",
        lost: "by calls under way and not by how long they take; a new process gets its full share at once",
    },
    Left {
        key: "targets.outlier.",
        told: "DestinationRule `outlierDetection`",
        lost: "answers in a row that say UNAVAILABLE or DEADLINE_EXCEEDED, and no comparison with the others; one that was \
               taken out comes back unprobed",
    },
];

/// What no value of the policy is about, and who sees to it in a cluster alone.
const CLUSTER: [(&str, &str, &str); 7] = [
    ("who calls", "sidecar", "PeerAuthentication `STRICT`: no certificate, no connection"),
    (
        "who may call what",
        "sidecar",
        "AuthorizationPolicy: nobody anything, each declared caller its RPCs",
    ),
    (
        "a customer's token is good",
        "sidecar of the door",
        "RequestAuthentication; whether one is needed, the application says",
    ),
    (
        "which version answers",
        "sidecar",
        "VirtualService: weights, `x-user-bucket`, `x-canary`, mirror, faults",
    ),
    (
        "whom a pod can reach at all",
        "network",
        "NetworkPolicy, in and out; Sidecar `REGISTRY_ONLY`",
    ),
    ("customers' connections", "ingress", "Gateway: TLS 1.2 or newer, plaintext is redirected"),
    (
        "bodies, headers, rates",
        "application",
        "nothing: the gateway's settings and `k8s/base/edge.toml` hold",
    ),
];

/// Refuses objects by which a facet has two enforcers, or none.
pub(super) fn check(plan: &Plan<'_>, objects: &[Value]) -> Result<()> {
    for member in &plan.services {
        let done = done_by_sidecar(plan, member, objects);
        let left: BTreeSet<_> = LEFT.iter().map(|left| left.key).collect();
        let service = member.name();
        if let Some(twice) = done.difference(&left).next() {
            bail!("{service}: {twice} would be enforced by the application and by the sidecar");
        }
        if let Some(lost) = left.difference(&done).next() {
            bail!("{service}: {lost} is left to the sidecar, which is told nothing of it");
        }
    }
    Ok(())
}

/// What sidecars do with calls to a service by these objects.
fn done_by_sidecar(
    plan: &Plan<'_>,
    member: &Member<'_>,
    objects: &[Value],
) -> BTreeSet<&'static str> {
    let find = |kind: &str| {
        let is = |it: &&Value| it["kind"] == kind && it["metadata"]["name"] == member.name();
        objects.iter().find(is).map(|object| &object["spec"])
    };
    let none = Value::Null;
    let policy = find("DestinationRule").map_or(&none, |spec| &spec["trafficPolicy"]);
    let http = find("VirtualService").and_then(|spec| spec["http"].as_array());
    let mut done = BTreeSet::new();
    // Without a word, Istio repeats twice.
    if http.is_none_or(|all| all.iter().any(|route| route["retries"]["attempts"] != 0)) {
        done.insert("methods.retry.");
    }
    let longest = member.longest(plan);
    let cuts = |route: &Value| seconds(&route["timeout"]).is_some_and(|it| it <= longest);
    if http.is_some_and(|all| all.iter().any(cuts)) {
        done.insert("methods.max_deadline");
    }
    if policy["outlierDetection"]["consecutiveGatewayErrors"].as_u64() > Some(0) {
        done.insert("targets.outlier.");
    }
    if policy["loadBalancer"]["simple"] == "LEAST_REQUEST" {
        done.insert("targets.balance.");
    }
    let calls = plan.contracts.target(member.name()).bulkhead.calls as u64;
    let most = policy["connectionPool"]["http"]["http2MaxRequests"].as_u64();
    if most.is_some_and(|most| most < calls) {
        done.insert("targets.bulkhead.");
    }
    done
}

fn seconds(text: &Value) -> Option<Duration> {
    text.as_str()?.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

/// The part of the page about the graph that is about clusters.
pub(in crate::generate) fn section() -> String {
    let mut text = HEAD.to_owned();
    for Left { key, told, lost } in &LEFT {
        let key = key.trim_end_matches('.');
        text.push_str(&format!("| `{key}` | sidecar | {told} | {lost} |\n"));
    }
    text.push_str(
        "| all other values of the policy of calls | application | VirtualService `retries.attempts: 0`, a \
         time-out five seconds beyond the longest deadline, a pool as large as the caller's own bulkhead, \
         and of 65536 calls at each ingress for the public service, whose callers have none | \
         nothing: none of it decides before the application does |\n",
    );
    for (what, who, told) in &CLUSTER {
        text.push_str(&format!("| {what} | {who} | {told} | nothing |\n"));
    }
    text
}

const HEAD: &str = "
## In a cluster
Behind sidecars (`DISCOVERY=orders=mesh:…`) the application's stack goes on repeating, ending and bounding
calls, and leaves to its sidecar what only somebody can do who sees every process. The generator reads from
`istio/generated/` what sidecars would do, and refuses to write a facet that both enforce, or neither.

| what | enforced by | Istio is told | what is lost |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::istio::routing;
    use crate::services;

    /// Why these objects are refused after a change of one place of a kind.
    fn why(kind: &str, place: &str, value: Value) -> String {
        let declarations = services::declarations().unwrap();
        let plan = Plan::new(&declarations).unwrap();
        let of = |member: &Member<'_>| routing::of(&plan, member).unwrap();
        let mut objects: Vec<Value> = plan.services.iter().flat_map(of).collect();
        check(&plan, &objects).unwrap();
        let is = |it: &&mut Value| it["kind"] == kind && it["metadata"]["name"] == "orders";
        *objects.iter_mut().find(is).unwrap().pointer_mut(place).unwrap() = value;
        check(&plan, &objects).unwrap_err().to_string()
    }

    #[test]
    fn what_two_would_enforce_or_nobody_stops_the_generator() {
        for (kind, place, value, expected) in [
            (
                "VirtualService",
                "/spec/http/0/retries",
                Value::Null,
                "methods.retry. would be enforced by",
            ),
            (
                "VirtualService",
                "/spec/http/0/retries/attempts",
                2.into(),
                "methods.retry. would be",
            ),
            (
                "VirtualService",
                "/spec/http/0/timeout",
                "1s".into(),
                "methods.max_deadline would be",
            ),
            (
                "DestinationRule",
                "/spec/trafficPolicy/outlierDetection",
                Value::Null,
                "targets.outlier. is left",
            ),
            (
                "DestinationRule",
                "/spec/trafficPolicy/loadBalancer/simple",
                "RANDOM".into(),
                "targets.balance. is left",
            ),
            (
                "DestinationRule",
                "/spec/trafficPolicy/connectionPool/http/http2MaxRequests",
                1.into(),
                "targets.bulkhead. would be",
            ),
        ] {
            let said = why(kind, place, value);
            assert!(said.starts_with("orders: ") && said.contains(expected), "{said}");
        }
    }
}
