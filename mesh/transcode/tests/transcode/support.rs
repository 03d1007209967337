//! The shelves' contract, and contracts of a few lines.

use std::sync::LazyLock;

use http::Method;
use mesh_transcode::{Refusal, Transcoder, Unsound};
use prost_reflect::{DescriptorPool, DynamicMessage};
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

const FILE: &str = "written.proto";

/// What a contract of a few lines has besides.
const HEAD: &str = "syntax = \"proto3\"; package t.v1; import \"google/api/annotations.proto\";
message Inner { string text = 1; }
message Asked {
  string a = 1; Inner inner = 2; repeated string all = 3; map<string, string> map = 4;
  oneof one { string first = 5; string second = 6; }
}
message Answer { string a = 1; }
";

struct Written(String);

impl FileResolver for Written {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            FILE => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn pool(name: &str, written: &str) -> DescriptorPool {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Written(format!("{HEAD}{written}")));
    resolver.add(IncludeFileResolver::new("tests/transcode".into()));
    resolver.add(IncludeFileResolver::new("../../proto".into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_file(name)
        .unwrap_or_else(|error| panic!("{error:?}"));
    DescriptorPool::decode(&*compiler.encode_file_descriptor_set()).unwrap()
}

fn transcoder(pool: &DescriptorPool) -> Result<Transcoder, Unsound> {
    let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    Transcoder::new(pool, rpcs)
}

/// The shelves.
pub fn shelves() -> &'static Transcoder {
    static SHELVES: LazyLock<Transcoder> =
        LazyLock::new(|| transcoder(&pool("shelves.proto", "")).unwrap());
    &SHELVES
}

/// An RPC for each of the options.
pub fn written(options: &[&str]) -> Result<Transcoder, Unsound> {
    let rpc = |(n, option): (usize, &&str)| {
        format!("rpc Call{n}(Asked) returns (Answer) {{ option (google.api.http) = {option}; }}")
    };
    let rpcs: String = options.iter().enumerate().map(rpc).collect();
    transcoder(&pool(FILE, &format!("service S {{ {rpcs} }}")))
}

/// Why a contract with an RPC for each of the options is refused.
pub fn refused(options: &[&str]) -> String {
    written(options).unwrap_err().to_string()
}

/// What a request of the shelves becomes.
pub fn ask(method: Method, target: &str, body: &str) -> Result<DynamicMessage, Refusal> {
    let shelves = shelves();
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    shelves.route(&method, path)?.request(query, body.as_bytes())
}

/// The same, as JSON.
pub fn asked(method: Method, target: &str, body: &str) -> serde_json::Value {
    serde_json::to_value(ask(method, target, body).unwrap()).unwrap()
}

/// The field and the reason of what is refused.
pub fn blamed(method: Method, target: &str, body: &str) -> (String, &'static str) {
    match ask(method, target, body) {
        Err(Refusal::Invalid(invalid)) => (invalid.0[0].field.clone(), invalid.0[0].reason),
        other => panic!("{target} {body}: {other:?}"),
    }
}
