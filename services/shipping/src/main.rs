//! The shipping service.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_runtime::main("shipping", shipping::start)
}
