//! Whom a pod may reach and be reached by, below everything else: the declared edges and what a pod
//! cannot do without.

use serde_json::{Value, json};

use super::jobs::{STREAMS, migrator};
use crate::generate::cluster::{self, ADMIN, COLLECTOR, GRPC, Member, NATS, POSTGRES, Plan, label};

const API: &str = "networking.k8s.io/v1";
const KIND: &str = "NetworkPolicy";
/// Where istiod answers sidecars.
const ISTIOD: u16 = 15012;
const DNS: u16 = 53;

/// Nothing, but names; and the broker for whoever has events.
pub(super) fn shared(plan: &Plan<'_>) -> Vec<Value> {
    let nothing = json!({ "spec": { "podSelector": {}, "policyTypes": ["Egress", "Ingress"] } });
    let resolvers = pods("kube-system", json!({ "k8s-app": "kube-dns" }));
    let names = json!({ "spec": {
        "egress": [{
            "ports": [{ "port": DNS, "protocol": "TCP" }, { "port": DNS, "protocol": "UDP" }],
            "to": [resolvers],
        }],
        "podSelector": {},
        "policyTypes": ["Egress"],
    } });
    let users = plan.services.iter().filter(|member| member.declared.uses_broker());
    let clients = users.map(|it| near(label(it.name())));
    let clients: Vec<_> = clients.chain([near(label(STREAMS))]).collect();
    let broker = json!({ "spec": {
        "ingress": [{ "from": clients, "ports": [tcp(NATS)] }],
        "podSelector": { "matchLabels": label("nats") },
        "policyTypes": ["Ingress"],
    } });
    vec![
        cluster::object(API, KIND, "deny-all", nothing),
        cluster::object(API, KIND, "names", names),
        cluster::object(API, KIND, "nats-clients", broker),
    ]
}

/// A service's own edges.
pub(super) fn of(plan: &Plan<'_>, member: &Member<'_>) -> Value {
    let spec = json!({
        "egress": egress(member),
        "ingress": ingress(plan, member),
        "podSelector": { "matchLabels": label(member.name()) },
        "policyTypes": ["Egress", "Ingress"],
    });
    cluster::object(API, KIND, member.name(), json!({ "spec": spec }))
}

/// A service's database: for the service, its other instances, and its operator.
pub(super) fn of_database(member: &Member<'_>, name: &str) -> Value {
    let own = json!({ "cnpg.io/cluster": name });
    // The operator asks instances how they are at a port of their own.
    let operator = namespace("cnpg-system");
    let spec = json!({
        "egress": [
            { "ports": [tcp(POSTGRES), tcp(8000)], "to": [near(own.clone())] },
            // Of the API server, and of the store that backups go to.
            { "ports": [tcp(443), tcp(6443)] },
        ],
        "ingress": [
            {
                "from": [near(label(member.name())), near(label(&migrator(member.name())))],
                "ports": [tcp(POSTGRES)],
            },
            { "from": [near(own.clone()), operator], "ports": [tcp(POSTGRES), tcp(8000)] },
            { "from": [namespace(COLLECTOR.0)], "ports": [tcp(9187)] },
        ],
        "podSelector": { "matchLabels": own },
        "policyTypes": ["Egress", "Ingress"],
    });
    cluster::object(API, KIND, name, json!({ "spec": spec }))
}

/// Whoever makes streams, for the broker alone.
pub(super) fn of_streams(name: &str) -> Value {
    let spec = json!({
        "egress": [{ "ports": [tcp(NATS)], "to": [near(label("nats"))] }],
        "podSelector": { "matchLabels": label(name) },
        "policyTypes": ["Egress", "Ingress"],
    });
    cluster::object(API, KIND, name, json!({ "spec": spec }))
}

/// Whoever migrates a service's database, for that alone.
pub(super) fn of_migrator(service: &str, name: &str) -> Value {
    let spec = json!({
        "egress": [{ "ports": [tcp(POSTGRES)], "to": [near(database(service))] }],
        "podSelector": { "matchLabels": label(name) },
        "policyTypes": ["Egress", "Ingress"],
    });
    cluster::object(API, KIND, name, json!({ "spec": spec }))
}

/// Whoever calls services for operators: all of them, and nobody calls it.
pub(super) fn of_operator(name: &str, services: &[&str]) -> [Value; 2] {
    let all: Vec<Value> = services.iter().map(|service| near(label(service))).collect();
    let istiod = pods("istio-system", json!({ "app": "istiod" }));
    let out = json!({
        "egress": [
            { "ports": [tcp(ISTIOD)], "to": [istiod] },
            { "ports": [tcp(GRPC)], "to": all },
        ],
        "podSelector": { "matchLabels": label(name) },
        "policyTypes": ["Egress", "Ingress"],
    });
    let of_services = json!({ "key": "app", "operator": "In", "values": services });
    let into = json!({
        "ingress": [{ "from": [near(label(name))], "ports": [tcp(GRPC)] }],
        "podSelector": { "matchExpressions": [of_services] },
        "policyTypes": ["Ingress"],
    });
    [
        cluster::object(API, KIND, name, json!({ "spec": out })),
        cluster::object(API, KIND, &format!("{name}-calls"), json!({ "spec": into })),
    ]
}

/// The pods of a service's database.
fn database(service: &str) -> Value {
    json!({ "cnpg.io/cluster": format!("{service}-database") })
}

fn egress(member: &Member<'_>) -> Vec<Value> {
    let (observe, collector, port) = COLLECTOR;
    let mut rules = vec![
        json!({ "ports": [tcp(ISTIOD)], "to": [pods("istio-system", json!({ "app": "istiod" }))] }),
        json!({ "ports": [tcp(port)], "to": [pods(observe, json!({ "app": collector }))] }),
    ];
    let callees = member.declared.calls.iter().map(|call| near(label(&call.service)));
    let callees: Vec<_> = callees.collect();
    if !callees.is_empty() {
        rules.push(json!({ "ports": [tcp(GRPC)], "to": callees }));
    }
    if member.declared.store.is_some() {
        rules.push(json!({ "ports": [tcp(POSTGRES)], "to": [near(database(member.name()))] }));
    }
    if member.declared.uses_broker() {
        rules.push(json!({ "ports": [tcp(NATS)], "to": [near(label("nats"))] }));
    }
    rules
}

fn ingress(plan: &Plan<'_>, member: &Member<'_>) -> Vec<Value> {
    let mut from: Vec<_> = member.callers.keys().map(|caller| near(label(caller))).collect();
    if member.is_public() {
        let ingress = &plan.traffic.ingress;
        from.push(pods(&ingress.namespace, json!({ "istio": ingress.label })));
    }
    let mut rules = Vec::new();
    if !from.is_empty() {
        rules.push(json!({ "from": from, "ports": [tcp(GRPC)] }));
    }
    rules.push(json!({ "from": [namespace(COLLECTOR.0)], "ports": [tcp(ADMIN)] }));
    rules
}

/// Pods of our own namespace.
fn near(labels: Value) -> Value {
    json!({ "podSelector": { "matchLabels": labels } })
}

/// Pods of another one.
fn pods(other: &str, labels: Value) -> Value {
    let mut pods = namespace(other);
    pods["podSelector"] = json!({ "matchLabels": labels });
    pods
}

fn namespace(name: &str) -> Value {
    let labels = json!({ "kubernetes.io/metadata.name": name });
    json!({ "namespaceSelector": { "matchLabels": labels } })
}

fn tcp(port: u16) -> Value {
    json!({ "port": port, "protocol": "TCP" })
}
