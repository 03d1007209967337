//! What stands in for pods where there are none: one file of objects, `.mesh/cluster/stand-in.yaml`, and
//! nothing else that is applied is not what is shipped.
//!
//! In a cluster a pod has an address of its own, and its connections are led through its sidecar. On one
//! machine a process has a loopback address instead, and its sidecar is called by name:
//!
//! - A WorkloadEntry for each process, as Istio has them for machines outside of Kubernetes: the shipped
//!   Service finds it by its labels as it would a pod.
//! - A Sidecar for each process in place of the shipped one of its service: the same hosts, but with the
//!   addresses where it takes calls in.
//! - The operator's program, which a cluster lets in through the API server: an account, and a policy
//!   that admits it.
//! - The names of the world, which lead nowhere on one machine: istiod fetches the keys of tokens from
//!   `https://shop.example.com/…` as the shipped RequestAuthentication says, through a proxy that leads
//!   that name to the shop's own gateway (`mesh/local/src/cluster/door.rs`). No object says so.
//! - Who is there before: the namespace and the account of the ingress gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mesh_local::cluster::Workload;
use meshctl::caller;
use meshctl::generate::cluster::{GRPC, Ingress, NAMESPACE, principal};
use serde_json::{Value, json};

/// By which a process is told from others of its service and version.
pub(super) const PROCESS: &str = "shopmesh.dev/process";

/// A process, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub workload: Workload,
    /// Where it is called.
    pub called: SocketAddr,
    /// Where its sidecar takes its calls in.
    pub calls: SocketAddr,
    /// Where it listens itself; none if nobody calls it.
    pub own: Option<SocketAddr>,
}

impl Member {
    /// The version of the service that it is.
    pub fn version(&self) -> &str {
        self.workload.labels.get("version").map_or("", String::as_str)
    }

    /// The name of its sidecar's process.
    pub fn sidecar_process(&self) -> String {
        format!("{}-sidecar", self.workload.name)
    }

    /// The name of its Sidecar: the first process of a service has the shipped one's place.
    fn sidecar(&self) -> &str {
        let is_first = self.workload.labels.get(PROCESS).is_some_and(|number| number == "0");
        if is_first { &self.workload.account } else { &self.workload.name }
    }
}

/// What has to be there before anything is applied.
pub(super) fn before(ingress: &Ingress) -> Vec<Value> {
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ingress.namespace } }),
        account(&ingress.namespace, &ingress.service_account),
    ]
}

/// The rest; `shipped` are the Sidecars of services by their names.
pub(super) fn after(members: &[Member], shipped: &BTreeMap<String, Value>) -> Vec<Value> {
    let mut objects = vec![account(NAMESPACE, caller::NAME), operator()];
    for member in members {
        objects.extend(one(member, shipped.get(&member.workload.account)));
    }
    objects
}

/// What stands in for one process; `shipped` is the Sidecar of its service.
pub(super) fn one(member: &Member, shipped: Option<&Value>) -> Vec<Value> {
    let entry = member.own.map(|_| entry(member));
    [sidecar(member, shipped)].into_iter().chain(entry).collect()
}

fn object(api: &str, kind: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({ "name": name, "namespace": NAMESPACE });
    json!({ "apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec })
}

fn account(namespace: &str, name: &str) -> Value {
    let metadata = json!({ "name": name, "namespace": namespace });
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata })
}

fn operator() -> Value {
    let from = json!([{ "source": { "principals": [principal(NAMESPACE, caller::NAME)] } }]);
    let spec = json!({ "action": "ALLOW", "rules": [{ "from": from }] });
    object("security.istio.io/v1", "AuthorizationPolicy", caller::NAME, spec)
}

fn entry(member: &Member) -> Value {
    let mut labels = json!(member.workload.labels);
    labels["security.istio.io/tlsMode"] = json!("istio");
    let spec = json!({
        "address": member.called.ip().to_string(),
        "labels": labels,
        "ports": { "grpc": member.called.port() },
        "serviceAccount": member.workload.account,
    });
    object("networking.istio.io/v1", "WorkloadEntry", &member.workload.name, spec)
}

fn sidecar(member: &Member, shipped: Option<&Value>) -> Value {
    let mut spec = shipped.map_or_else(
        || json!({ "outboundTrafficPolicy": { "mode": "REGISTRY_ONLY" } }),
        |shipped| shipped["spec"].clone(),
    );
    let hosts = match &spec["egress"][0]["hosts"] {
        Value::Array(hosts) => hosts.clone(),
        _ => vec![json!("./*"), json!("istio-system/*")],
    };
    let listener = |name: &str, at: SocketAddr| {
        json!({
            "bind": at.ip().to_string(),
            "captureMode": "NONE",
            "port": { "name": name, "number": at.port(), "protocol": "GRPC" },
        })
    };
    let mut outward = listener("grpc-out", member.calls);
    outward["hosts"] = json!(hosts);
    spec["egress"] = json!([outward]);
    if let Some(own) = member.own {
        let mut inward = listener("grpc", member.called);
        inward["defaultEndpoint"] = json!(own.to_string());
        spec["ingress"] = json!([inward]);
    }
    spec["workloadSelector"] = json!({ "labels": member.workload.labels });
    object("networking.istio.io/v1", "Sidecar", member.sidecar(), spec)
}

/// The file: documents that `kubectl` reads, and people.
pub(super) fn file(objects: &[Value]) -> String {
    let mut text =
        "# Stands in for pods where there are none; see platform/stand_in.rs. Everything \
                    else in this\n# cluster is applied as it is shipped.\n"
            .to_owned();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&serde_json::to_string_pretty(object).unwrap_or_default());
        text.push('\n');
    }
    text
}

/// Where a service's process is called, and where each takes its own calls in.
pub(super) const PORT: u16 = GRPC;
