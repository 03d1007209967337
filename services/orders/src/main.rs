//! The orders service.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mesh_runtime::Allocator = mesh_runtime::Allocator;

fn main() -> ExitCode {
    let errands = vec![mesh_rpc::probe::health(), mesh_log::migrate_errand(&orders::MIGRATIONS)];
    mesh_runtime::main("orders", orders::start, errands)
}
