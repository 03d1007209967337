//! What the shop's contracts do not use: wildcards, paths of several segments, nested fields, additional
//! bindings, a body that is a field, an answer that is one. The transcoder beside Envoy's, over the shelves'
//! contract of its own tests; what arrives and what is answered is the same, but for what is listed.

use std::path::Path;

use bytes::Bytes;
use http::{Request, header};
use mesh_testkit::{browse, eventually, patience};
use mesh_transcode::{Binding, Transcoder};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use protox::file::{ChainFileResolver, GoogleFileResolver, IncludeFileResolver};
use serde_json::Value;
use tokio::time::timeout;
use tonic::Status;

use crate::{
    envoy::start,
    support::Folder,
    witness::{Seen, Witness},
};

/// A request: method, target, and a body of JSON; none if it is empty.
type Asked = (&'static str, &'static str, &'static str);

const SAME: [Asked; 14] = [
    ("GET", "/v1/shelves/5/books?page_size=3", ""),
    ("GET", "/v1/books?formats=FORMAT_PLAIN&formats=FORMAT_UNSPECIFIED&copies=-9&random=true", ""),
    ("GET", "/v1/books?author.given_name=Ada%20A&author.familyName=L&weight=1e2", ""),
    ("GET", "/v1/books?after=2026-11-23T08:00:00Z&within=1.5s", ""),
    ("GET", "/v1/shelves/5/books/7:preview?pages=2&format=FORMAT_PLAIN", ""),
    ("PUT", "/v1/shelves/5/books/7", r#"{"book": {"title": "x", "copies": "9007199254740993"}}"#),
    ("PUT", "/v1/shelves/a%20b/books/7", r#"{"book": {"tags": ["a"], "notes": {"a": "b"}}}"#),
    ("PUT", "/v1/shelves/5/books/7", "{}"),
    ("GET", "/v1/files/a/b/c", ""),
    ("GET", "/v1/files/a%20b/c", ""),
    ("DELETE", "/v1/shelves/5/books/7", ""),
    ("PATCH", "/v1/shelves/5/books/7?update_mask=title", r#"{"title": "x"}"#),
    ("PATCH", "/v1/shelves/5", r#"{"lit": true, "updateMask": "lit"}"#),
    ("PATCH", "/v1/owners/Ada/shelf", r#"{"owner": {"familyName": "L"}, "updateMask": "owner"}"#),
];

/// A message to answer with, of the RPC of this name, as JSON.
const ANSWERS: [(&str, &str); 6] = [
    ("ListBooks", r#"{"books": [{"title": "x", "copies": "7", "format": "FORMAT_PLAIN"}]}"#),
    ("PreviewBook", r#"{"text": "once"}"#),
    ("UpdateBook", r#"{"book": {"title": "x", "author": {"givenName": "Ada"}, "lent": false}}"#),
    ("PutBook", r#"{"tags": ["a", "b"]}"#),
    ("UpdateShelf", r#"{"shelf": "5"}"#),
    ("DeleteBook", "{}"),
];

/// What of an answer is told by its contract, in `response_body`. Envoy 1.40 refuses a contract with one
/// that is no `google.api.HttpBody`, and is given the contract without: it tells all of the answer.
const TOLD: [(&str, &str); 2] = [("UpdateBook", "book"), ("PutBook", "tags")];

/// The contract, as ours reads it and as Envoy can.
fn contracts() -> [String; 2] {
    let text = include_str!("../../../../mesh/transcode/tests/transcode/shelves.proto");
    let mut without = text.to_owned();
    for (_, field) in TOLD {
        without = without.replace(&format!(" response_body: \"{field}\""), "");
    }
    assert!(!without.contains("response_body") && text.contains("response_body"));
    [text.to_owned(), without]
}

/// The shelves of a contract, and their encoded descriptors.
fn shelves(text: &str) -> (Transcoder, Vec<u8>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut resolver, folder) = (ChainFileResolver::new(), Folder::new());
    folder.write("shelves.proto", text);
    resolver.add(IncludeFileResolver::new(folder.0.clone()));
    resolver.add(IncludeFileResolver::new(root.join("proto")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("shelves.proto").unwrap();
    let descriptors = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(&*descriptors).unwrap();
    let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    (Transcoder::new(&pool, rpcs).unwrap(), descriptors)
}

fn answer(binding: &Binding) -> DynamicMessage {
    let known = ANSWERS.iter().find(|(rpc, _)| *rpc == binding.rpc().name());
    let json: Value = serde_json::from_str(known.map_or("{}", |(_, json)| json)).unwrap();
    DynamicMessage::deserialize(binding.rpc().output(), json).unwrap()
}

/// What ours makes of a request: the binding that it leads to, and the message.
fn ours(shelves: &Transcoder, (method, target, body): Asked) -> (&Binding, Value) {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let route = shelves.route(&method.parse().unwrap(), path).unwrap();
    let message = route.request(query, body.as_bytes());
    let message = message.unwrap_or_else(|refusal| panic!("{method} {target}: {refusal:?}"));
    (route.binding(), serde_json::to_value(message).unwrap())
}

/// The message that has arrived, as JSON.
fn arrived(binding: &Binding, seen: Seen) -> Value {
    let rpc = binding.rpc();
    assert_eq!(seen.path, format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()));
    serde_json::to_value(DynamicMessage::decode(rpc.input(), seen.message).unwrap()).unwrap()
}

fn request((method, target, body): Asked) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(target);
    let request = match body {
        "" => request,
        _ => request.header(header::CONTENT_TYPE, "application/json"),
    };
    request.body(Bytes::from_static(body.as_bytes())).unwrap()
}

#[tokio::test]
async fn what_the_shop_does_not_use_is_asked_and_answered_as_envoy_does_it() {
    let [ours_reads, envoy_reads] = contracts();
    let ((shelves, _), (_, descriptors)) = (shelves(&ours_reads), shelves(&envoy_reads));
    let (witness, folder) = (Witness::begin().await, Folder::new());
    let services = ["shelves.v1.ShelvesService".to_owned()];
    let Some(envoy) = start(witness.at, &folder, &descriptors, &services).await else { return };

    let mut differences = Vec::new();
    for asked in SAME {
        let (binding, message) = ours(&shelves, asked);
        let said = answer(binding);
        witness.tells(vec![said.encode_to_vec()], Status::ok(""));
        let before = witness.heard();
        let at = envoy.at();
        let theirs = tokio::spawn(async move {
            let answer = browse(at, request(asked)).await.unwrap();
            (answer.status.as_u16(), answer.text().await)
        });
        eventually("the call to arrive, or an answer", async || {
            witness.heard() > before || theirs.is_finished()
        })
        .await;
        // Of a stream that has ended at once Envoy 1.40 may tell nothing, not even its end.
        if binding.rpc().is_server_streaming() {
            theirs.abort();
        } else {
            let (status, text) = timeout(patience(), theirs).await.expect("an answer").unwrap();
            let told: Value = serde_json::from_slice(&binding.answer(&said).unwrap()).unwrap();
            let mut theirs: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some((_, field)) = TOLD.iter().find(|(rpc, _)| *rpc == binding.rpc().name()) {
                theirs = theirs[field].take();
            }
            if (status, &theirs) != (200, &told) {
                differences.push(format!("{asked:?}: {status} {text}, ours {told}"));
            }
        }
        let arrived = (witness.heard() > before).then(|| arrived(binding, witness.last()));
        if arrived.as_ref() != Some(&message) {
            differences.push(format!("{asked:?}: {arrived:?} arrived, ours {message}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let all = shelves.bindings().iter().map(|it| it.template().to_string());
    let met: Vec<_> = SAME.map(|it| ours(&shelves, it).0.template().to_string()).into();
    assert_eq!(all.filter(|it| !met.contains(it)).collect::<Vec<_>>(), Vec::<String>::new());
}
