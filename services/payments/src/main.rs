//! The payments service's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_runtime::main("payments", payments::start)
}
