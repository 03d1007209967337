//! The inventory service.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mesh_runtime::Allocator = mesh_runtime::Allocator;

fn main() -> ExitCode {
    let errands = vec![mesh_rpc::probe::health(), mesh_log::migrate_errand(&inventory::MIGRATIONS)];
    mesh_runtime::main("inventory", inventory::start, errands)
}
