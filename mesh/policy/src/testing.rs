//! Contracts that tests write down in a line.

use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

/// Options of a service with nothing wrong.
pub(crate) const SERVICE: &str = "{owner: \"testers\", concurrency: 64}";

const HEAD: &str = "syntax = \"proto3\"; package t.v1; import \"mesh/v1/policy.proto\";
message Keyed { string request_id = 1; } message Bare {} message Answer {}
";
const FILE: &str = "t/v1/tested.proto";

/// A file that exists here only.
struct Written(String);

impl FileResolver for Written {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            FILE => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Compiles declarations that follow a few messages: `Keyed` (with a `request_id`), `Bare` and
/// `Answer`, in the package `t.v1`.
pub(crate) fn compile(declarations: &str) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Written(format!("{HEAD}{declarations}")));
    resolver.add(IncludeFileResolver::new("../../proto".into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(FILE).unwrap_or_else(|error| panic!("{error:?}"));
    compiler.encode_file_descriptor_set()
}

/// Compiles a service `Tested` with one RPC, `Call`.
pub(crate) fn method_set(service: &str, signature: &str, level: &str, policy: &str) -> Vec<u8> {
    compile(&format!(
        "service Tested {{ option (mesh.v1.service) = {service};
           option (mesh.v1.default_access) = {{public: true}};
           rpc Call{signature} {{
             option idempotency_level = {level};
             option (mesh.v1.method) = {policy};
           }} }}"
    ))
}
