//! The catalog service.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_runtime::main("catalog", catalog::start)
}
