//! Compiles `proto/shop` into the contracts that every service and client shares.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use protox::prost_reflect::{DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind};

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
    let redacted = redacted(&compiler.descriptor_pool())?;
    prost.skip_debug(redacted.iter().map(|message| &message.path));
    let prints: String = redacted.iter().map(|message| message.print.as_str()).collect();
    fs::write(out.join("redacted.rs"), prints)?;
    tonic_prost_build::configure()
        .bytes(".")
        .include_file("contracts.rs")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(set, prost)?;
    Ok(())
}

/// A message with fields that are not for everybody's eyes.
struct Redacted {
    /// `.package.Message`.
    path: String,
    /// How it is printed: without what these fields hold.
    print: String,
}

/// The messages of which a contract says that a field is personal or secret (`mesh.v1.sensitivity`):
/// whoever prints one, on purpose or because an error holds it, tells nobody what is in it.
fn redacted(pool: &DescriptorPool) -> Result<Vec<Redacted>, Box<dyn Error>> {
    const OPTION: &str = "mesh.v1.sensitivity";
    let option = pool
        .get_extension_by_name(OPTION)
        .ok_or_else(|| format!("nothing says what {OPTION} is"))?;
    let mut found = Vec::new();
    for message in pool.all_messages() {
        let name = message.full_name();
        let is_sensitive = |field: &FieldDescriptor| is_sensitive(&option, field);
        if !message.fields().any(|field| is_sensitive(&field)) {
            continue;
        }
        // What prost makes of these has other names, and nothing of ours needs them.
        let is_nested = message.parent_message().is_some();
        let alternative = message
            .fields()
            .find(|field| field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic()));
        if is_nested || alternative.is_some() {
            let why = "a message with a sensitive field is at the top of its file and has no oneof";
            return Err(format!("{name}: {why}").into());
        }
        let mut print = format!(
            "impl ::core::fmt::Debug for {} {{\n\
             fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{\n\
             f.debug_struct({:?})\n",
            name.replace('.', "::"),
            message.name(),
        );
        for field in message.fields() {
            let name = field.name();
            let is_enum = matches!(field.kind(), Kind::Enum(_)) && !field.is_list();
            match (is_sensitive(&field), is_enum) {
                (true, _) => writeln!(print, ".field({name:?}, &::core::format_args!(\"***\"))")?,
                (false, true) => writeln!(print, ".field({name:?}, &self.{name}())")?,
                (false, false) => writeln!(print, ".field({name:?}, &self.{name})")?,
            }
        }
        print += ".finish()\n}\n}\n";
        found.push(Redacted { path: format!(".{name}"), print });
    }
    Ok(found)
}

fn is_sensitive(option: &ExtensionDescriptor, field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.has_extension(option) && options.get_extension(option).as_enum_number() != Some(0)
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
