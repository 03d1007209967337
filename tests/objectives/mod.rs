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
    meshctl::services::declarations().unwrap()
}
