//! Where operators come in to call services: a pod of the mesh that does nothing but lend them its sidecar.
//! `kubectl port-forward` leads to it, so who may come is whom the API server lets; what they may is said
//! here, and who they are says their token, as everywhere.

use serde_json::{Value, json};

use super::{network, sidecar, workload};
use crate::generate::cluster::{self, GRPC, HEALTH, NAMESPACE, Plan, label, principal};

/// The account, its pod, and all that is about them.
const OPERATOR: &str = "operator";
/// What every service answers operators besides its own contract.
const PLATFORM: &str = "mesh.operator.v1.";
/// By which a client without files learns what there is.
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// A program that waits to be ended, from a registry that every node knows.
const WAITS: &str = "registry.k8s.io/pause:3.10.1";

/// The account, the pod with its view of the mesh, what it may ask, and whom it reaches.
pub(super) fn of(plan: &Plan<'_>) -> Vec<Value> {
    let services: Vec<&str> = plan.services.iter().map(|it| it.name()).collect();
    let mut objects = vec![
        cluster::object(
            "v1",
            "ServiceAccount",
            OPERATOR,
            json!({ "automountServiceAccountToken": false }),
        ),
        cluster::object("apps/v1", "Deployment", OPERATOR, deployment()),
        cluster::object("networking.istio.io/v1", "Sidecar", OPERATOR, view()),
        cluster::object("security.istio.io/v1", "AuthorizationPolicy", OPERATOR, may(plan)),
    ];
    objects.extend(network::of_operator(OPERATOR, &services));
    objects
}

fn deployment() -> Value {
    let container = json!({
        "image": WAITS,
        "name": OPERATOR,
        "resources": {
            "limits": { "memory": "16Mi" },
            "requests": { "cpu": "10m", "memory": "16Mi" },
        },
        "securityContext": workload::locked_container(),
    });
    json!({ "spec": {
        "replicas": 1,
        "selector": { "matchLabels": label(OPERATOR) },
        "template": {
            "metadata": { "annotations": sidecar(), "labels": label(OPERATOR) },
            "spec": {
                "automountServiceAccountToken": false,
                "containers": [container],
                "enableServiceLinks": false,
                "securityContext": workload::locked_pod(),
                "serviceAccountName": OPERATOR,
            },
        },
    } })
}

/// Its sidecar takes calls in where port-forward ends, and leads them by their names.
fn view() -> Value {
    json!({ "spec": {
        "egress": [{
            "bind": "127.0.0.1",
            "captureMode": "NONE",
            "hosts": ["./*", "istio-system/*"],
            "port": { "name": "grpc-out", "number": GRPC, "protocol": "GRPC" },
        }],
        "outboundTrafficPolicy": { "mode": "REGISTRY_ONLY" },
        "workloadSelector": { "labels": label(OPERATOR) },
    } })
}

/// What some permission is for, and what is the operators' own: whether a caller has the permission, the
/// service sees for itself. Nothing that is between services, and nothing that customers alone may.
fn may(plan: &Plan<'_>) -> Value {
    let of_services = plan.services.iter().flat_map(|member| &member.methods);
    let methods = plan.contracts.contracts().methods();
    let of_platform = methods.filter(|method| method.service().starts_with(PLATFORM));
    let all = of_services.chain(of_platform);
    let staffs = all.filter(|it| it.access.operator || !it.access.permissions.is_empty());
    let mut paths: Vec<String> = staffs.map(|method| format!("/{}", method.path)).collect();
    paths.extend(REFLECTION.map(str::to_owned));
    paths.push(HEALTH.to_owned());
    paths.sort();
    paths.dedup();
    let what = json!({ "methods": ["POST"], "paths": paths, "ports": [GRPC.to_string()] });
    let who = json!({ "principals": [principal(NAMESPACE, OPERATOR)] });
    json!({ "spec": {
        "action": "ALLOW",
        "rules": [{ "from": [{ "source": who }], "to": [{ "operation": what }] }],
    } })
}
