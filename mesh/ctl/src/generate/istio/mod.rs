//! What Istio is told: who may call what, how calls are spread over versions and processes, where the
//! world comes in. What the application's stack does itself is switched off here.

mod authorization;
mod edge;
pub(in crate::generate) mod fidelity;
mod routing;
mod sides;

use anyhow::{Context as _, Result};
use mesh_local::Declaration;
use serde_json::{Map, Value, json};

use super::cluster::{self, Member, Plan, Traffic, kustomization};
use super::{Page, yaml};

pub(crate) use routing::EVERYBODY;

/// Where these pages lie.
pub const FOLDER: &str = "istio/generated";
/// HTTP's own errors, and gRPC's, whose HTTP status is 200: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
/// INTERNAL, UNAVAILABLE, DATA_LOSS. Of a call by HTTP alone the latter says nothing, and no line is
/// written.
const WENT_WRONG: &str = "response.code >= 500 || response.grpc_status in [2, 4, 12, 13, 14, 15]";
const SHARED: &str = "mesh.yaml";
const SOURCE: &str = "istio/traffic.toml";

/// The objects of these services: a file each, one of what they share, and a kustomization.
pub(super) fn pages(declarations: &[Declaration]) -> Result<Vec<Page>> {
    of(&Plan::new(declarations)?)
}

/// The same for other traffic than that of the checkout's file.
///
/// # Errors
/// The traffic does not fit what is declared, or a facet would be enforced twice or not at all.
pub fn pages_with(declarations: &[Declaration], traffic: Traffic) -> Result<Vec<Page>> {
    of(&Plan::with(declarations, traffic)?)
}

/// A service's DestinationRule and VirtualService for other traffic than that of the checkout's file.
///
/// # Errors
/// As [`pages_with`], or there is no such service.
pub fn spread_with(
    declarations: &[Declaration],
    traffic: Traffic,
    service: &str,
) -> Result<Vec<Value>> {
    let plan = Plan::with(declarations, traffic)?;
    let name = format!("{service}.yaml");
    let files = files(&plan)?;
    let file = files.into_iter().find(|file| file.name == name);
    let mut objects = file.with_context(|| format!("there is no service `{service}`"))?.objects;
    objects.retain(|it| it["kind"] == "DestinationRule" || it["kind"] == "VirtualService");
    Ok(objects)
}

/// Objects that one source says, before they are text.
struct File {
    name: String,
    source: String,
    objects: Vec<Value>,
}

fn of(plan: &Plan<'_>) -> Result<Vec<Page>> {
    let files = files(plan)?;
    let all = kustomization(files.iter().map(|file| file.name.as_str()), Map::new());
    let page = |name: &str, text: String| Page { path: format!("{FOLDER}/{name}"), text };
    let list = page("kustomization.yaml", yaml::file("services/*/mesh.toml", &[all]));
    let pages = files.iter().map(|it| page(&it.name, yaml::file(&it.source, &it.objects)));
    Ok(pages.chain([list]).collect())
}

/// All objects, of which none does what the application does.
fn files(plan: &Plan<'_>) -> Result<Vec<File>> {
    let mut files =
        vec![File { name: SHARED.to_owned(), source: SOURCE.to_owned(), objects: shared(plan) }];
    for member in &plan.services {
        let objects = [
            authorization::of(plan, member),
            routing::of(plan, member)?,
            if member.is_public() { edge::of(plan, member) } else { Vec::new() },
        ];
        files.push(File {
            name: format!("{}.yaml", member.name()),
            source: format!("{} and {SOURCE}", member.source()),
            objects: objects.concat(),
        });
    }
    let all: Vec<_> = files.iter().flat_map(|file| &file.objects).cloned().collect();
    fidelity::check(plan, &all)?;
    Ok(files)
}

/// How calls to a service are spread.
pub(in crate::generate) fn routes(plan: &Plan<'_>, member: &Member<'_>) -> Result<Vec<Value>> {
    routing::of(plan, member)
}

/// What holds for every service of the namespace.
fn shared(plan: &Plan<'_>) -> Vec<Value> {
    let mtls = json!({ "spec": { "mtls": { "mode": "STRICT" } } });
    let telemetry = json!({ "spec": {
        // Calls that went wrong; the application tells of all of them.
        "accessLogging": [{
            "filter": { "expression": WENT_WRONG },
            "providers": [{ "name": "envoy" }],
        }],
        "metrics": [{ "providers": [{ "name": "prometheus" }] }],
        // Spans are the application's: it knows the call, its attempts and its statements.
        "tracing": [{ "disableSpanReporting": true }],
    } });
    let mut objects = vec![
        cluster::object("security.istio.io/v1", "PeerAuthentication", "default", mtls),
        cluster::object("telemetry.istio.io/v1", "Telemetry", "default", telemetry),
    ];
    objects.extend(authorization::shared(plan));
    objects
}

#[cfg(test)]
mod tests;
