//! The processor's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_runtime::main("processor", processor::start)
}
