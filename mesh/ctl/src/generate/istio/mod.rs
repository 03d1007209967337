//! What Istio is told: who may call what, how calls are spread over versions and processes, where the
//! world comes in. What the application's stack does itself is switched off here.

mod authorization;
mod edge;
pub(in crate::generate) mod fidelity;
mod routing;
mod sides;

use anyhow::Result;
use mesh_local::Declaration;
use serde_json::{Map, Value, json};

use super::cluster::{self, Plan, Traffic, kustomization};
use super::{Page, yaml};

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

fn of(plan: &Plan<'_>) -> Result<Vec<Page>> {
    let mut files = vec![(SHARED.to_owned(), SOURCE.to_owned(), shared(plan))];
    for member in &plan.services {
        let objects = [
            authorization::of(plan, member),
            routing::of(plan, member)?,
            if member.is_public() { edge::of(plan, member) } else { Vec::new() },
        ];
        let source = format!("{} and {SOURCE}", member.source());
        files.push((format!("{}.yaml", member.name()), source, objects.concat()));
    }
    let all: Vec<_> = files.iter().flat_map(|(_, _, objects)| objects).cloned().collect();
    fidelity::check(plan, &all)?;
    let names = files.iter().map(|(name, ..)| name.as_str());
    let all = kustomization(names, Map::new());
    let page = |name: &str, text: String| Page { path: format!("{FOLDER}/{name}"), text };
    let list = page("kustomization.yaml", yaml::file("services/*/mesh.toml", &[all]));
    let pages = files.iter().map(|(name, source, objects)| page(name, yaml::file(source, objects)));
    Ok(pages.chain([list]).collect())
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
