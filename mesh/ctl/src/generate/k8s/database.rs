//! A service's database, as CloudNativePG runs it: three instances, of which one more than the first
//! has every commit.

use serde_json::{Value, json};

use super::network;
use crate::generate::cluster::{self, Member};

const API: &str = "postgresql.cnpg.io/v1";
const IMAGE: &str = "ghcr.io/cloudnative-pg/postgresql:17.6";

/// The cluster, and who reaches it.
pub(super) fn of(member: &Member<'_>) -> Vec<Value> {
    let name = name(member);
    // Each process holds that many, a rollout has one process more, and operators need some.
    let replicas = member.declared.scale.max_replicas * member.declared.versions.len() as u32;
    let connections = (replicas + 1) * 10 + 20;
    let spec = json!({
        "affinity": { "podAntiAffinityType": "preferred", "topologyKey": "kubernetes.io/hostname" },
        "bootstrap": { "initdb": { "database": member.name(), "owner": member.name() } },
        "enablePDB": true,
        "imageName": IMAGE,
        // The mesh knows services; who a client of a database is, the database asks itself.
        "inheritedMetadata": { "annotations": { "sidecar.istio.io/inject": "false" } },
        "instances": 3,
        "monitoring": { "enablePodMonitor": true },
        "postgresql": {
            "parameters": {
                "idle_in_transaction_session_timeout": "5s",
                "max_connections": connections.to_string(),
                // Of an instance that is away as much is kept as fits; one that is away for longer is made anew.
                // What is kept until the next checkpoint comes on top, a gigabyte.
                "max_slot_wal_keep_size": "3GB",
                "shared_buffers": "256MB",
            },
            // A commit is one when a second instance has it, or it waits: nothing is lost.
            "synchronous": { "dataDurability": "required", "method": "any", "number": 1 },
        },
        "primaryUpdateStrategy": "unsupervised",
        "resources": {
            "limits": { "memory": "1Gi" },
            "requests": { "cpu": "250m", "memory": "1Gi" },
        },
        "storage": { "size": "20Gi" },
        "walStorage": { "size": "5Gi" },
    });
    vec![
        cluster::object(API, "Cluster", &name, json!({ "spec": spec })),
        network::of_database(member, &name),
    ]
}

/// Every night a whole copy; what is written meanwhile is archived as it comes.
pub(super) fn backup(member: &Member<'_>) -> Value {
    let name = name(member);
    let spec = json!({
        "backupOwnerReference": "self",
        "cluster": { "name": name },
        "immediate": true,
        "method": "barmanObjectStore",
        // Seconds, minutes, hours.
        "schedule": "0 0 3 * * *",
    });
    cluster::object(API, "ScheduledBackup", &name, json!({ "spec": spec }))
}

fn name(member: &Member<'_>) -> String {
    format!("{}-database", member.name())
}
