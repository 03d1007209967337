//! How a service's processes are found, and how many there are.

use mesh_local::Scale;
use serde_json::{Value, json};

use super::MONITORED;
use crate::generate::cluster::{self, ADMIN, GRPC, Member, Plan, label};

/// What the adapter of Prometheus makes of a service's own counter (`k8s/adapter/values.yaml`).
const CALLS: &str = "rpc_server_calls_per_second";
/// The same of what a door answers, which speaks more than gRPC and counts all of it alike.
const REQUESTS: &str = "http_server_requests_per_second";

/// Services, PodDisruptionBudget, and an autoscaler for each version.
pub(super) fn of(member: &Member<'_>) -> Vec<Value> {
    let service = member.name();
    // One protocol to the processes, whatever a customer speaks to the sidecar before them.
    let protocol = if member.is_public() { "kubernetes.io/h2c" } else { "grpc" };
    let grpc =
        json!({ "appProtocol": protocol, "name": "grpc", "port": GRPC, "targetPort": "grpc" });
    let admin =
        json!({ "appProtocol": "http", "name": "admin", "port": ADMIN, "targetPort": "admin" });
    let labels = json!({ "app": service, MONITORED: "true" });
    let headless = json!({
        "metadata": { "labels": labels },
        "spec": { "clusterIP": "None", "ports": [grpc, admin], "selector": label(service) },
    });
    let mut objects = vec![
        cluster::object(
            "v1",
            "Service",
            service,
            json!({
                "metadata": { "labels": label(service) },
                "spec": { "ports": [grpc], "selector": label(service), "type": "ClusterIP" },
            }),
        ),
        cluster::object("v1", "Service", &format!("{service}-each"), headless),
        cluster::object(
            "policy/v1",
            "PodDisruptionBudget",
            service,
            json!({ "spec": {
            "maxUnavailable": 1,
            "selector": { "matchLabels": label(service) },
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        } }),
        ),
    ];
    for version in &member.declared.versions {
        objects.push(autoscaler(member, version));
    }
    objects
}

fn autoscaler(member: &Member<'_>, version: &str) -> Value {
    let Scale { min_replicas, max_replicas, calls_per_second, .. } = member.declared.scale;
    let name = format!("{}-{version}", member.name());
    let used = |resource: &str, percent: u32| {
        let target = json!({ "averageUtilization": percent, "type": "Utilization" });
        // Of our own container: the sidecar's use says little about calls.
        let metric = json!({ "container": member.name(), "name": resource, "target": target });
        json!({ "containerResource": metric, "type": "ContainerResource" })
    };
    let counted = if member.is_public() { REQUESTS } else { CALLS };
    let calls = json!({ "pods": {
        "metric": { "name": counted },
        "target": { "averageValue": calls_per_second.to_string(), "type": "AverageValue" },
    }, "type": "Pods" });
    let policy = |kind: &str, value: u32, period: u32| json!({ "periodSeconds": period, "type": kind, "value": value });
    cluster::object(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        &name,
        json!({ "spec": {
        "behavior": {
            // One at a time, and not for a moment's quiet.
            "scaleDown": {
                "policies": [policy("Pods", 1, 60)],
                "selectPolicy": "Max",
                "stabilizationWindowSeconds": 300,
            },
            "scaleUp": {
                "policies": [policy("Percent", 100, 15), policy("Pods", 2, 15)],
                "selectPolicy": "Max",
                "stabilizationWindowSeconds": 0,
            },
        },
        "maxReplicas": max_replicas,
        "metrics": [used("cpu", 70), used("memory", 80), calls],
        "minReplicas": min_replicas,
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
    } }),
    )
}

/// A public service behind an ingress controller that is part of the mesh, in place of Istio's own
/// gateway.
pub(super) fn ingress(plan: &Plan<'_>, door: &Member<'_>) -> Value {
    let ingress = &plan.traffic.ingress;
    let backend = json!({ "service": { "name": door.name(), "port": { "name": "grpc" } } });
    let path = json!({ "backend": backend, "path": "/", "pathType": "Prefix" });
    let rule = |host: &String| json!({ "host": host, "http": { "paths": [path] } });
    let patience = door.patience(plan).as_secs().to_string();
    cluster::object(
        "networking.k8s.io/v1",
        "Ingress",
        door.name(),
        json!({
            "metadata": { "annotations": {
                "cert-manager.io/cluster-issuer": ingress.cluster_issuer,
                "nginx.ingress.kubernetes.io/backend-protocol": "GRPC",
                "nginx.ingress.kubernetes.io/limit-connections": "50",
                "nginx.ingress.kubernetes.io/limit-rps": "50",
                "nginx.ingress.kubernetes.io/proxy-body-size": "1m",
                // Who repeats is decided behind it; streams end by their own deadlines.
                "nginx.ingress.kubernetes.io/proxy-next-upstream": "off",
                "nginx.ingress.kubernetes.io/proxy-read-timeout": patience,
                "nginx.ingress.kubernetes.io/proxy-send-timeout": patience,
                "nginx.ingress.kubernetes.io/service-upstream": "true",
            } },
            "spec": {
                "ingressClassName": "nginx",
                "rules": ingress.hosts.iter().map(rule).collect::<Vec<_>>(),
                "tls": [{ "hosts": ingress.hosts, "secretName": format!("{}-certificate", door.name()) }],
            },
        }),
    )
}
