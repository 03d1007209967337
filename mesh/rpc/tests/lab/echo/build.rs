//! Compiles `echo.proto`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

const CONTRACT: &str = "../echo.proto";
const ROOTS: [&str; 2] = ["..", "../../../../../proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CONTRACT}");
    println!("cargo::rerun-if-changed={}/mesh/v1", ROOTS[1]);
    println!("cargo::rerun-if-changed=build.rs");

    let mut compiler = protox::Compiler::new(ROOTS)?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("echo.proto")?;
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), &encoded)?;

    tonic_prost_build::configure()
        .include_file("contracts.rs")
        .emit_rerun_if_changed(false)
        .compile_fds(FileDescriptorSet::decode(&*encoded)?)?;
    Ok(())
}
