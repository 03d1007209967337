//! What Istio and Kubernetes are given, read as they would read it: who may call what, who reaches
//! whom, how processes run. Every value is one that a rule here asks for, so that none can be lost or
//! changed without a test that says so.

mod authorization;
mod istio_rules;
mod kustomize;
mod mutations;
mod network;
mod relations;
mod rules;
mod workload_rules;
mod world;

use world::World;

/// A way to look at all objects.
struct Check {
    /// The kinds that it looks at.
    reads: &'static [&'static str],
    /// What is wrong.
    run: fn(&World) -> Vec<String>,
}

const CHECKS: [Check; 4] = [
    Check { reads: authorization::READS, run: authorization::faults },
    Check { reads: network::READS, run: network::faults },
    Check { reads: relations::READS, run: relations::faults },
    Check { reads: &[], run: rules::faults },
];

/// Everything that is wrong; of an object of one kind, only what could be wrong by it.
fn faults(world: &World, kind: Option<&str>) -> Vec<String> {
    let concerns = |check: &&Check| {
        check.reads.is_empty() || kind.is_none_or(|kind| check.reads.contains(&kind))
    };
    CHECKS.iter().filter(concerns).flat_map(|check| (check.run)(world)).collect()
}

#[test]
fn every_rule_holds_of_what_is_made() {
    let world = World::read();

    let faults = faults(&world, None);

    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(world.objects.len() > 100, "{} objects", world.objects.len());
}
