//! What is done once for each declaration: the broker's streams.

use serde_json::{Value, json};
use uuid::Uuid;

use super::network;
use crate::generate::cluster::{self, Plan};

/// Who does it, and the label by which it is known.
pub(super) const STREAMS: &str = "streams";
/// A Job that failed is tried again for about half an hour: the broker may have to come first.
const ATTEMPTS: u32 = 10;

/// The Job that makes streams, its account, and whom it reaches.
pub(super) fn streams(plan: &Plan<'_>) -> Vec<Value> {
    let account = json!({ "automountServiceAccountToken": false });
    let pod = json!({
        "metadata": {
            // The broker is no part of the mesh, and a sidecar would outlive what it is for.
            "annotations": { "sidecar.istio.io/inject": "false" },
            "labels": cluster::label(STREAMS),
        },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "args": ["provision", "streams", "--stream-replicas", "3"],
                "env": [{ "name": "NATS_URL", "valueFrom": {
                    "secretKeyRef": { "key": "url", "name": format!("{STREAMS}-nats") },
                } }],
                "image": "shopmesh/meshctl:v1",
                "name": STREAMS,
                "resources": {
                    "limits": { "memory": "128Mi" },
                    "requests": { "cpu": "50m", "memory": "32Mi" },
                },
                "securityContext": super::workload::locked_container(),
            }],
            "enableServiceLinks": false,
            "restartPolicy": "OnFailure",
            "securityContext": super::workload::locked_pod(),
            "serviceAccountName": STREAMS,
        },
    });
    let job = json!({ "spec": { "backoffLimit": ATTEMPTS, "template": pod } });
    // Nobody can change a Job: what is declared otherwise needs another one.
    let declared: Vec<_> = plan.services.iter().map(|it| it.declared.subjects()).collect();
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{declared:?}").as_bytes());
    let name = format!("{STREAMS}-{}", &digest.simple().to_string()[..8]);
    vec![
        cluster::object("v1", "ServiceAccount", STREAMS, account),
        cluster::object("batch/v1", "Job", &name, job),
        network::of_streams(STREAMS),
    ]
}
