//! Rules, alerts and dashboards: they are what the services declare, they fire when they should and
//! only then, and every alert and every panel leads somewhere.

mod alerts;
mod generated;
mod names;
pub mod prometheus;
mod runbook;

use mesh_local::Declaration;

/// What the services declare.
fn declarations() -> Vec<Declaration> {
    meshctl::services::declarations().unwrap()
}
