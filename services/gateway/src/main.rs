//! The gateway's process.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mesh_runtime::Allocator = mesh_runtime::Allocator;

fn main() -> ExitCode {
    mesh_runtime::main("gateway", gateway::start, vec![mesh_rpc::probe::http_health()])
}
