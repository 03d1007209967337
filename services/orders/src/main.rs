//! The orders service.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_runtime::main("orders", orders::start)
}
