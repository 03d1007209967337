//! The objects as they lie in the tree.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use mesh_local::Declaration;
use mesh_policy::Table;
use mesh_testkit::workspace;
use meshctl::{
    generate::cluster::{Ingress, Traffic},
    graph::Graph,
    services,
};
use serde_json::Value;

// Kinds, Istio's by what they are for.
pub const AUTHORIZATION: &str = "AuthorizationPolicy";
pub const CERTIFICATE: &str = "Certificate";
pub const DESTINATION: &str = "DestinationRule";
pub const GATEWAY: &str = "Gateway";
pub const MTLS: &str = "PeerAuthentication";
pub const ROUTES: &str = "VirtualService";
pub const SIDECAR: &str = "Sidecar";
pub const TELEMETRY: &str = "Telemetry";
pub const TOKENS: &str = "RequestAuthentication";
pub const DEPLOYMENT: &str = "Deployment";
pub const JOB: &str = "Job";

/// Folders whose objects make up the shop.
const FOLDERS: [&str; 6] = [
    "istio/generated",
    "k8s/generated/services",
    "k8s/generated/databases",
    "k8s/generated/backups",
    "k8s/generated/ingress",
    "k8s/generated/jobs",
];

/// What is written by hand beside them.
const BESIDE: [&str; 2] = ["k8s/nats/nats.yaml", "k8s/nats/network.yaml"];

/// What contracts say of their RPCs.
pub static CONTRACTS: LazyLock<Table> = LazyLock::new(|| {
    Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap()
});

/// Every object, and what it is made from.
#[derive(Clone)]
pub struct World {
    pub objects: Vec<Value>,
    beside: Vec<Value>,
    pub declarations: Vec<Declaration>,
    pub ingress: Ingress,
    pub graph: Graph,
    /// Each service's variables that lie in no secret.
    pub settings: BTreeMap<String, BTreeMap<String, String>>,
}

impl World {
    pub fn read() -> World {
        let mut objects = Vec::new();
        for folder in FOLDERS {
            let mut names: Vec<_> = fs::read_dir(workspace().join(folder))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.ends_with(".yaml"))
                .collect();
            names.sort();
            for name in names {
                let text = fs::read_to_string(workspace().join(folder).join(&name)).unwrap();
                objects.extend(documents(&text).into_iter().filter(|object| {
                    // Of the lists only the settings are of interest, and lists are `kustomize`'s.
                    object["kind"] != "Kustomization" || object.get("configMapGenerator").is_some()
                }));
            }
        }
        let beside = BESIDE.map(|file| fs::read_to_string(workspace().join(file)).unwrap());
        let beside = beside.iter().flat_map(|text| documents(text)).collect();
        let declarations = services::declarations().unwrap();
        let traffic = Traffic::parse(services::TRAFFIC.1, &declarations).unwrap();
        let graph = Graph::read(services::sources()).unwrap();
        let settings = BTreeMap::new();
        let mut world =
            World { objects, beside, declarations, ingress: traffic.ingress, graph, settings };
        world.index();
        world
    }

    /// Reads again what is kept beside the objects.
    pub fn index(&mut self) {
        self.settings.clear();
        let lists = self.objects.iter().filter(|object| object["kind"] == "Kustomization");
        for map in lists.flat_map(|list| items(&list["configMapGenerator"])) {
            let literals = items(&map["literals"]).filter_map(Value::as_str);
            let pairs = literals.filter_map(|literal| literal.split_once('='));
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            if let Some(name) = map["name"].as_str().filter(|_| map["namespace"] == "shop") {
                self.settings.insert(name.to_owned(), pairs.collect());
            }
        }
    }

    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let all = self.objects.iter().chain(&self.beside);
        all.filter(move |object| object["kind"] == kind)
    }

    pub fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        let mut all = self.objects.iter().chain(&self.beside);
        all.find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    pub fn declared(&self, service: &str) -> Option<&Declaration> {
        self.declarations.iter().find(|declared| declared.service == service)
    }
}

/// The documents of a file.
pub fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// The items of a list; none if it is no list.
pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether an object with these labels is one that a selector's `matchLabels` means.
pub fn selects(labels: &Value, of: &Value) -> bool {
    let Some(labels) = labels.as_object() else { return false };
    labels.iter().all(|(key, value)| of.get(key) == Some(value))
}
