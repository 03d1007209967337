//! The storefront service.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mesh_runtime::Allocator = mesh_runtime::Allocator;

fn main() -> ExitCode {
    mesh_runtime::main("storefront", storefront::start, vec![mesh_rpc::probe::health()])
}
