//! The inventory service.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_runtime::main("inventory", inventory::start)
}
