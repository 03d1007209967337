//! What Istio and Kubernetes are given, read as they would read it: who may call what, who reaches
//! whom, how processes run. Every value is one that a rule here asks for, so that none can be lost or
//! changed without a test that says so.

mod authorization;
mod broker;
mod istio_rules;
mod job_rules;
pub mod kustomize;
mod mutations;
mod network;
mod observe;
mod operator;
mod pod_rules;
mod relations;
mod rules;
mod scaling;
pub mod secrets;
pub mod way_in;
mod workload_rules;
pub mod world;

use world::World;

/// A way to look at objects together.
struct Check {
    /// The one kind that it is about, if it is one.
    of: Option<&'static str>,
    /// What is wrong.
    run: fn(&World) -> Vec<String>,
}

const CHECKS: [Check; 3] = [
    Check { of: None, run: relations::faults },
    Check { of: Some(world::AUTHORIZATION), run: authorization::faults },
    Check { of: Some("NetworkPolicy"), run: network::faults },
];

#[test]
fn every_rule_holds_of_what_is_made() {
    let world = World::read();

    let each = world.objects.iter().flat_map(|object| rules::faults(&world, object));
    let together = CHECKS.iter().flat_map(|check| (check.run)(&world));

    let faults: Vec<_> = each.chain(together).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(world.objects.len() > 100, "{} objects", world.objects.len());
}
