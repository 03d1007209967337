//! Rules, alerts and dashboards: they are what the services declare, they fire when they should and
//! only then, and every alert and every panel leads somewhere.

mod alerts;
mod generated;
pub mod prometheus;
mod runbook;

use std::fs;

use mesh_local::Declaration;
use mesh_testkit::workspace;

use crate::shop::SERVICES;

/// What the services declare.
fn declarations() -> Vec<Declaration> {
    let read = |service: &&str| {
        let file = workspace().join("services").join(service).join("mesh.toml");
        Declaration::parse(&fs::read_to_string(file).unwrap()).unwrap()
    };
    SERVICES.iter().map(read).collect()
}
