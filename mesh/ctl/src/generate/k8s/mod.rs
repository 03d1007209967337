//! What Kubernetes runs: each service's processes, how they are found and scaled, and whom each of
//! them may reach at all; each service's database.

pub mod candidate;
mod database;
mod jobs;
mod network;
mod operator;
mod reach;
mod settings;
mod workload;

use anyhow::Result;
use mesh_local::Declaration;
use serde_json::{Map, Value, json};

use super::cluster::{self, ADMIN, NAMESPACE, Plan, kustomization};
use super::{Page, yaml};

/// Where these pages lie.
pub const FOLDER: &str = "k8s/generated";
const GENERATOR: &str = "mesh/ctl/src/generate/k8s/mod.rs";

/// The label of what Prometheus asks.
const MONITORED: &str = "shopmesh.dev/monitored";

/// The objects of these services, in folders that overlays choose from.
pub(super) fn pages(declarations: &[Declaration]) -> Result<Vec<Page>> {
    of(&Plan::new(declarations)?)
}

fn of(plan: &Plan<'_>) -> Result<Vec<Page>> {
    let mut services = Folder::new("services");
    services.add("namespace", GENERATOR, vec![namespace()]);
    services.add("shared", GENERATOR, shared(plan));
    let mut databases = Folder::new("databases");
    let mut backups = Folder::new("backups");
    for member in &plan.services {
        let mut objects = workload::of(member);
        objects.extend(reach::of(member));
        objects.push(network::of(plan, member));
        services.add(member.name(), &member.source(), objects);
        services.configure(member.name(), settings::shared(plan, member)?);
        if member.declared.store.is_some() {
            databases.add(member.name(), &member.source(), database::of(member));
            backups.add(member.name(), &member.source(), vec![database::backup(member)]);
        }
    }
    let mut once = Folder::new("jobs");
    once.add("streams", "services/*/mesh.toml", jobs::streams(plan));
    let migrations = plan.services.iter().flat_map(jobs::migration);
    once.add("migrations", "services/*/mesh.toml", migrations.collect());
    let mut ingress = Folder::new("ingress");
    let doors = plan.public().map(|door| reach::ingress(plan, door));
    ingress.add("ingress", "istio/traffic.toml", doors.collect());
    let mut operators = Folder::new("operator");
    operators.add("operator", "services/*/mesh.toml", operator::of(plan));
    let folders = [services, databases, backups, once, ingress, operators];
    Ok(folders.into_iter().flat_map(Folder::pages).collect())
}

/// A folder of objects with its kustomization.
struct Folder {
    name: &'static str,
    files: Vec<(String, String, Vec<Value>)>,
    configuration: Vec<Value>,
}

impl Folder {
    fn new(name: &'static str) -> Folder {
        Folder { name, files: Vec::new(), configuration: Vec::new() }
    }

    fn add(&mut self, name: &str, source: &str, objects: Vec<Value>) {
        self.files.push((format!("{name}.yaml"), source.to_owned(), objects));
    }

    /// A ConfigMap whose name changes with what it says, so that processes are replaced with it.
    fn configure(&mut self, name: &str, settings: Vec<(&str, String)>) {
        let literals = settings.into_iter().map(|(variable, value)| format!("{variable}={value}"));
        let literals: Vec<_> = literals.collect();
        let map = json!({ "literals": literals, "name": name, "namespace": NAMESPACE });
        self.configuration.push(map);
    }

    fn pages(self) -> Vec<Page> {
        let page = |name: &str, text| Page { path: format!("{FOLDER}/{}/{name}", self.name), text };
        let mut more = Map::new();
        if !self.configuration.is_empty() {
            more.insert("configMapGenerator".to_owned(), self.configuration.into());
        }
        let list = kustomization(self.files.iter().map(|(name, ..)| name.as_str()), more);
        let list = page("kustomization.yaml", yaml::file("services/*/mesh.toml", &[list]));
        let files = self.files.iter();
        let files = files.map(|(name, source, objects)| page(name, yaml::file(source, objects)));
        files.chain([list]).collect()
    }
}

/// Where everything is. Pods have to be as restricted as ours are; what Istio's own container needs that
/// makes the rules of traffic, its CNI plugin takes away.
fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "labels": {
                "istio-injection": "enabled",
                "pod-security.kubernetes.io/audit": "restricted",
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            },
            "name": NAMESPACE,
        },
    })
}

/// What holds for all of them.
fn shared(plan: &Plan<'_>) -> Vec<Value> {
    let monitor = json!({ "spec": {
        // What a service says of itself is not overwritten by what Kubernetes calls it: rules and dashboards
        // know the label `service`.
        "endpoints": [
            { "honorLabels": true, "interval": "15s", "path": "/metrics", "port": "admin" },
        ],
        // The rules of `observe/` know services as jobs.
        "jobLabel": "app",
        "selector": { "matchLabels": { MONITORED: "true" } },
    } });
    let mut objects = network::shared(plan);
    objects.push(cluster::object(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        "services",
        monitor,
    ));
    objects
}

/// The annotations of a pod that a sidecar goes into.
fn sidecar() -> Value {
    // Calls in flight end before the sidecar does, and none begins before it can go out.
    let proxy = json!({
        "holdApplicationUntilProxyStarts": true,
        "proxyMetadata": { "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true" },
    });
    let own = [cluster::NATS, cluster::COLLECTOR.2, cluster::POSTGRES].map(|it| it.to_string());
    json!({
        "proxy.istio.io/config": proxy.to_string(),
        // Prometheus has no certificate of the mesh; NetworkPolicies say who reaches this port.
        "traffic.sidecar.istio.io/excludeInboundPorts": ADMIN.to_string(),
        // Databases and the broker know services by users of their own, wherever they run.
        "traffic.sidecar.istio.io/excludeOutboundPorts": own.join(","),
    })
}
