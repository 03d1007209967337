//! Compiles `proto/shop` into the contracts that every service and client shares.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

const PROTO_ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    // Without these two lines Cargo would rerun this script whenever *any* file
    // of the root package changes: README, docs/, tests/.
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("declarations.rs"), declarations()?)?;

    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(proto_files(PathBuf::from(PROTO_ROOT).join("shop"))?)?;
    // Encoded by the compiler, because only this form keeps custom options.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptors.bin"), &encoded)?;

    let mut set = FileDescriptorSet::decode(&*encoded)?;
    // Of an RPC's end callers are told by its answers, and by whoever reads the contract: a warning of
    // the compiler would break those who deny warnings on the day on which it is announced.
    for file in &mut set.file {
        let methods = file.service.iter_mut().flat_map(|service| &mut service.method);
        methods.filter_map(|method| method.options.as_mut()).for_each(|it| it.deprecated = None);
    }

    // Type names give every message its full proto name; an event's is its subject.
    let mut prost = tonic_prost_build::Config::new();
    // Of `google.api` there are only options, which are read from the descriptors.
    prost
        .enable_type_names()
        .extern_path(".mesh", "::mesh_proto")
        .extern_path(".google.api", "::google_api");
    tonic_prost_build::configure()
        .bytes(".")
        .include_file("contracts.rs")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(set, prost)?;
    Ok(())
}

/// The texts of all `services/*/mesh.toml`, as a list in Rust.
fn declarations() -> Result<String, Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("services");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(root)? {
        let file = entry?.path().join("mesh.toml");
        if file.is_file() {
            println!("cargo::rerun-if-changed={}", file.display());
            files.push(file);
        }
    }
    files.sort();
    let texts = files.iter().map(|file| format!("include_str!({:?})", file.display().to_string()));
    Ok(format!("&[{}]", texts.collect::<Vec<_>>().join(", ")))
}

/// Lists every `.proto` under `dir`, sorted so that generated code is stable.
fn proto_files(dir: PathBuf) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(path)?);
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
