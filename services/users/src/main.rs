//! The users service.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mesh_runtime::Allocator = mesh_runtime::Allocator;

fn main() -> ExitCode {
    let errands = vec![mesh_rpc::probe::health(), mesh_log::migrate_errand(&users::MIGRATIONS)];
    mesh_runtime::main("users", users::start, errands)
}
