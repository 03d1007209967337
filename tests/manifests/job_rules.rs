//! What must hold of what Kubernetes runs once: the Job that makes streams, and those that migrate.

use mesh_local::Declaration;
use serde_json::{Value, json};

use super::rules::Must::{Be, Elsewhere, Fit, Say};
use super::rules::{Rule, Seen, rule};
use super::world::{JOB, World, items};

const STREAMS: &str = "streams";

pub const RULES: &[Rule] = &[
    rule(JOB, "apiVersion", Say("batch/v1")),
    rule(JOB, "kind", Elsewhere),
    rule(JOB, "metadata/name", Elsewhere),
    rule(JOB, "metadata/namespace", Say("shop")),
    rule(JOB, "metadata/labels/shopmesh.dev/step?", Elsewhere),
    rule(JOB, "spec/backoffLimit", Be("10")),
    rule(JOB, "spec/ttlSecondsAfterFinished?", Elsewhere),
    rule(JOB, "spec/template/metadata/annotations/sidecar.istio.io/inject", Say("false")),
    rule(JOB, "spec/template/metadata/labels/app", Fit(is_its_name)),
    rule(JOB, "spec/template/metadata/labels/version?", Elsewhere),
    rule(JOB, "spec/template/spec/containers/*/args/*", Elsewhere),
    rule(JOB, "spec/template/spec/containers/*/env/", Elsewhere),
    rule(
        JOB,
        "spec/template/spec/containers/*/image",
        Fit(|seen| match is_of_streams(seen) {
            true => seen.text() == "shopmesh/meshctl:v1",
            // Of the newest version: the others start on what it has migrated.
            false => seen.service.versions.last().is_some_and(|version| {
                seen.text() == format!("shopmesh/{}:{version}", seen.service.service)
            }),
        }),
    ),
    rule(JOB, "spec/template/spec/containers/*/name", Fit(is_its_name)),
    rule(
        JOB,
        "spec/template/spec/containers/*/resources/limits/memory",
        Fit(|seen| is_given(seen, 128, seen.service.scale.memory_limit_mib, "Mi")),
    ),
    rule(
        JOB,
        "spec/template/spec/containers/*/resources/requests/cpu",
        Fit(|seen| is_given(seen, 50, seen.service.scale.cpu_milli, "m")),
    ),
    rule(
        JOB,
        "spec/template/spec/containers/*/resources/requests/memory",
        Fit(|seen| is_given(seen, 32, seen.service.scale.memory_mib, "Mi")),
    ),
    rule(JOB, "spec/template/spec/restartPolicy", Say("OnFailure")),
    rule(
        JOB,
        "spec/template/spec/serviceAccountName",
        Fit(|seen| match is_of_streams(seen) {
            true => seen.text() == STREAMS,
            false => seen.text() == seen.service.service,
        }),
    ),
];

fn is_of_streams(seen: &Seen<'_>) -> bool {
    let name = seen.object["metadata"]["name"].as_str();
    name.is_some_and(|name| name.starts_with("streams-"))
}

/// No service's own: none of these pods is to be sent calls.
fn is_its_name(seen: &Seen<'_>) -> bool {
    match is_of_streams(seen) {
        true => seen.text() == STREAMS,
        false => seen.text() == format!("{}-migrate", seen.service.service),
    }
}

fn is_given(seen: &Seen<'_>, streams: u64, own: u64, unit: &str) -> bool {
    let amount = if is_of_streams(seen) { streams } else { own };
    seen.text() == format!("{amount}{unit}")
}

/// Whether exactly one makes streams, whatever its name says of what is declared.
pub fn makes_streams(world: &World) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_migration = |job: &&Value| {
        world
            .declarations
            .iter()
            .any(|it| migrator(it).is_some_and(|name| job["metadata"]["name"] == name))
    };
    let jobs: Vec<_> = world.of(JOB).filter(|job| !is_migration(job)).collect();
    let [job] = jobs[..] else { return false };
    let digest = text(&job["metadata"]["name"]).strip_prefix("streams-").map(str::len);
    let pod = &job["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let url = json!({ "secretKeyRef": { "key": "url", "name": "streams-nats" } });
    digest == Some(8)
        && items(&pod["containers"]).count() == 1
        && job["spec"].get("ttlSecondsAfterFinished").is_none()
        && job["metadata"].get("labels").is_none()
        && job["spec"]["template"]["metadata"]["labels"].get("version").is_none()
        && container["args"] == json!(["provision", "streams", "--stream-replicas", "3"])
        && container["env"] == json!([{ "name": "NATS_URL", "valueFrom": url }])
}

/// The Job of the newest version of a service that keeps something.
fn migrator(declared: &Declaration) -> Option<String> {
    declared.store.as_ref()?;
    Some(format!("{}-migrate-{}", declared.service, declared.versions.last()?))
}

/// Once for each version, seen for a day, by the service's own database and nothing else.
pub fn is_migrated(world: &World, declared: &Declaration) -> bool {
    let Some(name) = migrator(declared) else { return true };
    let Some(job) = world.find(JOB, &name) else { return false };
    let (meta, spec) = (&job["metadata"], &job["spec"]);
    let container = &spec["template"]["spec"]["containers"][0];
    let secret = format!("{}-database-app", declared.service);
    let url = json!({ "secretKeyRef": { "key": "uri", "name": secret } });
    meta["labels"] == json!({ "shopmesh.dev/step": "migrate" })
        && spec["ttlSecondsAfterFinished"] == 86_400
        && items(&spec["template"]["spec"]["containers"]).count() == 1
        && spec["template"]["metadata"]["labels"]["version"] == json!(declared.versions.last())
        && container["args"] == json!(["migrate"])
        && container["env"] == json!([{ "name": "DATABASE_URL", "valueFrom": url }])
}
