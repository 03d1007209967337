//! What is done once: the broker's streams for each declaration, each service's migrations for each of its
//! versions.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_local::{Declaration, Scale};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{network, settings};
use crate::generate::cluster::{self, Member, Plan};

/// Who does it, and the label by which it is known.
pub(super) const STREAMS: &str = "streams";
/// A Job that failed is tried again for about half an hour: the broker may have to come first.
const ATTEMPTS: u32 = 10;
/// The label by which somebody waits for all Jobs that come before a rollout, and its value for migrations.
const STEP: &str = "shopmesh.dev/step";
const MIGRATE: &str = "migrate";
/// How long it can be seen what became of migrations, in seconds: a day. Then a Job is gone, and one of the
/// same name can be made with another image.
const SEEN_FOR: u32 = 86_400;

/// The Job that makes streams, its account, and whom it reaches.
pub(super) fn streams(plan: &Plan<'_>) -> Vec<Value> {
    let account = json!({ "automountServiceAccountToken": false });
    let container = json!({
        "args": ["provision", "streams", "--stream-replicas", "3"],
        "env": [secret("NATS_URL", "url", format!("{STREAMS}-nats"))],
        "image": "shopmesh/meshctl:v1",
        "name": STREAMS,
        "resources": {
            "limits": { "memory": "128Mi" },
            "requests": { "cpu": "50m", "memory": "32Mi" },
        },
    });
    let job = json!({ "spec": {
        "backoffLimit": ATTEMPTS,
        "template": pod(STREAMS, cluster::label(STREAMS), container),
    } });
    let name = format!("{STREAMS}-{}", digest(plan.services.iter().map(|it| it.declared)));
    vec![
        cluster::object("v1", "ServiceAccount", STREAMS, account),
        cluster::object("batch/v1", "Job", &name, job),
        network::of_streams(STREAMS),
    ]
}

/// Eight digits of what the Job makes: its streams with their subjects, its buckets with how long they keep
/// what is in them. Nobody can change a Job, so what is declared otherwise needs another one.
fn digest<'d>(declarations: impl Iterator<Item = &'d Declaration> + Clone) -> String {
    let streams: Vec<_> =
        declarations.clone().map(|it| (it.service.as_str(), it.subjects())).collect();
    // Of several who use a bucket, whoever keeps things longest decides.
    let mut buckets: BTreeMap<&str, Option<Duration>> = BTreeMap::new();
    for bucket in declarations.flat_map(|it| &it.buckets) {
        let max_age = buckets.entry(&bucket.name).or_default();
        *max_age = bucket.max_age.max(*max_age);
    }
    let made = format!("{streams:?} {buckets:?}");
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, made.as_bytes());
    digest.simple().to_string()[..8].to_owned()
}

/// The Job that migrates a service's database to what the newest of its versions has, before that is
/// rolled out; none for a service that keeps nothing. Services do the same when they start: this shows
/// whether it works while the version before still answers everything.
///
/// It is the newest version's alone: each version starts on what a newer one has migrated, and could not
/// undo it.
pub(super) fn migration(member: &Member<'_>) -> Vec<Value> {
    let Some(version) = member.declared.versions.last().filter(|_| member.declared.store.is_some())
    else {
        return Vec::new();
    };
    let service = member.name();
    let migrator = migrator(service);
    let Scale { cpu_milli, memory_mib, memory_limit_mib, .. } = member.declared.scale;
    let container = json!({
        "args": [MIGRATE],
        "env": [secret("DATABASE_URL", "uri", settings::database_secret(service))],
        "image": format!("shopmesh/{service}:{version}"),
        "name": migrator,
        "resources": {
            "limits": { "memory": format!("{memory_limit_mib}Mi") },
            "requests": { "cpu": format!("{cpu_milli}m"), "memory": format!("{memory_mib}Mi") },
        },
    });
    // Not the service's own label: whoever calls the service would be sent here as well.
    let labels = json!({ "app": migrator, "version": version });
    let job = json!({ "metadata": { "labels": { STEP: MIGRATE } }, "spec": {
        "backoffLimit": ATTEMPTS,
        "template": pod(service, labels, container),
        "ttlSecondsAfterFinished": SEEN_FOR,
    } });
    vec![
        cluster::object("batch/v1", "Job", &format!("{migrator}-{version}"), job),
        network::of_migrator(service, &migrator),
    ]
}

/// Who migrates a service's database.
pub(super) fn migrator(service: &str) -> String {
    format!("{service}-{MIGRATE}")
}

fn secret(name: &str, key: &str, secret: String) -> Value {
    json!({ "name": name, "valueFrom": { "secretKeyRef": { "key": key, "name": secret } } })
}

/// One container that runs until it has done it, under an account.
fn pod(account: &str, labels: Value, mut container: Value) -> Value {
    container["securityContext"] = super::workload::locked_container();
    json!({
        "metadata": {
            // It calls no service, and brokers and databases are no part of the mesh; nobody may do
            // anything there as the account, and a sidecar would outlive what it is for.
            "annotations": { "sidecar.istio.io/inject": "false" },
            "labels": labels,
        },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [container],
            "enableServiceLinks": false,
            "restartPolicy": "OnFailure",
            "securityContext": super::workload::locked_pod(),
            "serviceAccountName": account,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_local::{Access, Bucket, Declaration};

    use super::digest;
    use crate::services;

    #[test]
    fn whatever_is_made_otherwise_is_made_by_another_job() {
        let declared = services::declarations().unwrap();
        let of = |change: &dyn Fn(&mut Declaration)| {
            let mut changed = declared.clone();
            change(changed.iter_mut().find(|it| it.service == "users").unwrap());
            digest(changed.iter())
        };
        let before = digest(declared.iter());

        assert_eq!(of(&|_| ()), before);
        assert_eq!(before.len(), 8);
        let others = [
            of(&|it| it.publishes.push("shop.strange.v1".to_owned())),
            of(&|it| it.publishes.clear()),
            of(&|it| {
                let (name, why) = ("strange".to_owned(), String::new());
                it.buckets.push(Bucket { name, access: Access::Write, max_age: None, why });
            }),
            of(&|it| it.buckets.iter_mut().for_each(|it| it.name.push('x'))),
            of(&|it| it.buckets[0].max_age = Some(Duration::from_secs(90_000_000))),
        ];
        for (n, other) in others.iter().enumerate() {
            assert_ne!(*other, before, "change {n} is never made");
        }
        // What a service does with a bucket changes what it may, not what is made.
        assert_eq!(of(&|it| it.buckets[0].why.push('x')), before);
    }
}
