//! What runs of a service: one Deployment for each of its versions, under an account of its own.

use mesh_local::Scale;
use serde_json::{Value, json};

use super::settings::{self, GRACE, POLICY, POLICY_FOLDER, PRE_STOP, SECRETS_FOLDER, kept};
use crate::generate::cluster::{self, ADMIN, GRPC, Member};

/// A user that no image and no machine has.
const USER: u32 = 65532;
const HASTE: u32 = 2;
const SECRETS: &str = "secrets";

/// The account, and a Deployment for each version.
pub(super) fn of(member: &Member<'_>) -> Vec<Value> {
    let service = member.name();
    let account = json!({ "automountServiceAccountToken": false });
    let mut objects = vec![cluster::object("v1", "ServiceAccount", service, account)];
    for version in &member.declared.versions {
        let name = format!("{service}-{version}");
        let body = json!({ "metadata": { "labels": labels(service, version) }, "spec": {
            "minReadySeconds": 5,
            "progressDeadlineSeconds": 300,
            "revisionHistoryLimit": 5,
            "selector": { "matchLabels": labels(service, version) },
            // A new process answers before an old one ends.
            "strategy": {
                "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 },
                "type": "RollingUpdate",
            },
            "template": pod(member, version),
        } });
        objects.push(cluster::object("apps/v1", "Deployment", &name, body));
    }
    objects
}

fn labels(service: &str, version: &str) -> Value {
    json!({ "app": service, "version": version })
}

fn pod(member: &Member<'_>, version: &str) -> Value {
    let service = member.name();
    json!({
        "metadata": { "annotations": super::sidecar(), "labels": labels(service, version) },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [container(member, version)],
            // Other services' addresses as variables could be taken for settings.
            "enableServiceLinks": false,
            "securityContext": locked_pod(),
            "serviceAccountName": service,
            "terminationGracePeriodSeconds": GRACE,
            "topologySpreadConstraints": [
                spread(service, version, "topology.kubernetes.io/zone"),
                spread(service, version, "kubernetes.io/hostname"),
            ],
            "volumes": volumes(member),
        },
    })
}

fn volumes(member: &Member<'_>) -> Vec<Value> {
    let mut volumes = vec![json!({ "configMap": { "name": POLICY }, "name": POLICY })];
    if !settings::files(member).is_empty() {
        // For the group of the process, and nobody else.
        let secret = json!({ "defaultMode": 0o440, "secretName": kept(member.name()) });
        volumes.push(json!({ "name": SECRETS, "secret": secret }));
    }
    volumes
}

fn mounts(member: &Member<'_>) -> Vec<Value> {
    let mount =
        |folder: &str, name: &str| json!({ "mountPath": folder, "name": name, "readOnly": true });
    let mut mounts = vec![mount(POLICY_FOLDER, POLICY)];
    if !settings::files(member).is_empty() {
        mounts.push(mount(SECRETS_FOLDER, SECRETS));
    }
    mounts
}

/// What no pod of ours may do.
pub(super) fn locked_pod() -> Value {
    json!({
        "fsGroup": USER,
        "runAsGroup": USER,
        "runAsNonRoot": true,
        "runAsUser": USER,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// What no container of ours may do.
pub(super) fn locked_container() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
    })
}

fn spread(service: &str, version: &str, over: &str) -> Value {
    json!({
        "labelSelector": { "matchLabels": labels(service, version) },
        "maxSkew": 1,
        "topologyKey": over,
        "whenUnsatisfiable": "ScheduleAnyway",
    })
}

fn container(member: &Member<'_>, version: &str) -> Value {
    let service = member.name();
    let Scale { cpu_milli, memory_mib, memory_limit_mib, .. } = member.declared.scale;
    json!({
        "env": settings::own(member, version),
        "envFrom": [{ "configMapRef": { "name": service } }],
        "image": format!("shopmesh/{service}:{version}"),
        "lifecycle": { "preStop": { "sleep": { "seconds": PRE_STOP } } },
        "livenessProbe": probe(member, "liveness", "/healthz", 10, 3),
        "name": service,
        "ports": [
            { "containerPort": GRPC, "name": "grpc" },
            { "containerPort": ADMIN, "name": "admin" },
        ],
        "readinessProbe": probe(member, "readiness", "/readyz", HASTE, 2),
        // A processor that nobody needs is nobody's to refuse: no limit.
        "resources": {
            "limits": { "memory": format!("{memory_limit_mib}Mi") },
            "requests": { "cpu": format!("{cpu_milli}m"), "memory": format!("{memory_mib}Mi") },
        },
        "securityContext": locked_container(),
        // Migrations run before it answers.
        "startupProbe": probe(member, "liveness", "/healthz", 1, 120),
        "volumeMounts": mounts(member),
    })
}

/// Services are asked by gRPC; a door, which answers strangers there, at its port for operators.
fn probe(member: &Member<'_>, health: &str, path: &str, period: u32, failures: u32) -> Value {
    let mut probe = json!({
        "failureThreshold": failures,
        "periodSeconds": period,
        "successThreshold": 1,
        "timeoutSeconds": 1,
    });
    if member.is_public() {
        probe["httpGet"] = json!({ "path": path, "port": ADMIN });
    } else {
        probe["grpc"] = json!({ "port": GRPC, "service": health });
    }
    probe
}
