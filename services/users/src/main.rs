//! The users service.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mesh_runtime::Allocator = mesh_runtime::Allocator;

fn main() -> ExitCode {
    mesh_runtime::main("users", users::start)
}
