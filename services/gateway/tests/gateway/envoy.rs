//! The gateway beside Envoy's gRPC-JSON transcoder: the same descriptors, requests and service behind.
//! What the two do otherwise is listed here, with its reason. Streams are lines at both; Envoy would
//! make an array of them if it were not told so, and knows no events.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, header};
use mesh_local::{Progress, Transcoder, cluster::Tools};
use mesh_testkit::{browse, skipped};
use mesh_transcode::Binding;
use prost::Message as _;
use serde_json::{Value, json};
use shop::users::v1::UpdatePreferencesRequest;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    bindings::{request, sample, transcoder},
    support::{Folder, Gateway},
    witness::Witness,
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A body and its type, if there is one.
type Body = Option<(&'static str, &'static str)>;

/// A request that the gateway refuses with this status, and that Envoy sends on; and why it is refused.
struct Difference(&'static str, &'static str, Body, u16, &'static str);

const DIFFERENCES: [Difference; 8] = [
    Difference("GET", "/v1/products?colour=blue", None, 400, "a misspelt filter must not find all"),
    Difference("GET", "/v1/products/MUG?sku=OTHER", None, 400, "what the path binds is said twice"),
    Difference("GET", "/v1/products?page_size=1&page_size=2", None, 400, "which of the two is it?"),
    Difference("POST", "/v1/orders", Some((JSON, "{\"colour\": 1}")), 400, "a misspelt field"),
    Difference(
        "POST",
        "/v1/carts/mine:clear",
        Some((JSON, "{\"customerId\": \"yours\"}")),
        400,
        "the body contradicts the path, by which access may have been granted",
    ),
    Difference(
        "POST",
        "/v1/cards:tokenize",
        Some((FORM, "{}")),
        415,
        "a page of any origin can send a form without being asked whether it may",
    ),
    Difference("GET", "/v1/nothing", None, 404, "what leads nowhere is nobody's business behind"),
    Difference("PUT", "/v1/orders", None, 405, "the same, with the methods that there are"),
];
/// Requests that both refuse: the gateway with a status and the field in JSON, Envoy with a line of text.
const REFUSED: [(&str, &str, Body); 3] = [
    ("GET", "/v1/products?page_size=many", None),
    ("POST", "/v1/orders", Some((JSON, "{"))),
    ("POST", "/v1/orders", Some((JSON, "{\"customerId\": 1}"))),
];

/// Starts Envoy before a service: the machine's, or one that is installed once for all checkouts. Where
/// that cannot be, the test is skipped by name.
pub async fn start(
    behind: SocketAddr,
    folder: &Folder,
    descriptors: &[u8],
    services: &[String],
) -> Option<Transcoder> {
    let found = async { Transcoder::find(&Tools::cache_of_user()?, &mut Progress::stderr()).await };
    match found.await {
        Ok(program) => {
            let started = Transcoder::start(&program, &folder.0, behind, descriptors, services);
            Some(started.await.unwrap())
        }
        Err(error) => {
            skipped("envoy", &format!("{error:#}"));
            None
        }
    }
}

async fn envoy(behind: SocketAddr, folder: &Folder) -> Option<Transcoder> {
    let mut services: Vec<_> = transcoder()
        .bindings()
        .iter()
        .map(|binding| binding.rpc().parent_service().full_name().to_owned())
        .collect();
    services.dedup();
    start(behind, folder, shop::DESCRIPTORS, &services).await
}

/// Both doors, and what stands behind them.
struct Doors {
    witness: Witness,
    gateway: Gateway,
    envoy: Transcoder,
    _folder: Folder,
}

/// What a door makes of a request: the status, the body and its lines, and what has arrived.
#[derive(Debug)]
struct Made {
    status: u16,
    text: String,
    lines: Vec<Value>,
    arrived: Option<(String, Bytes)>,
}

impl Doors {
    async fn open() -> Option<Self> {
        let witness = Witness::begin().await;
        let folder = Folder::new();
        let envoy = envoy(witness.at, &folder).await?;
        let names = ["catalog", "orders", "processor", "shipping", "storefront", "users"];
        let gateway = Gateway::before(&names.map(|name| (name, witness.at))).await;
        Some(Self { witness, gateway, envoy, _folder: folder })
    }

    /// What the gateway makes of a request, and what Envoy does.
    async fn ask(&self, request: impl Fn() -> Request<Bytes>) -> [Made; 2] {
        let ours = self.made(self.gateway.at, request()).await;
        [ours, self.made(self.envoy.at(), request()).await]
    }

    async fn made(&self, at: SocketAddr, request: Request<Bytes>) -> Made {
        let before = self.witness.count();
        let answer = browse(at, request).await.unwrap();
        let status = answer.status.as_u16();
        let text = answer.text().await;
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| json!(line));
        let lines = text.lines().filter(|line| !line.trim().is_empty()).map(read).collect();
        let arrived = (self.witness.count() > before).then(|| {
            let seen = self.witness.last();
            (seen.path, seen.message)
        });
        Made { status, text, lines, arrived }
    }
}

/// The message that arrived, in one order of its fields whatever order it was written in.
fn sorted(binding: &Binding, made: &mut Made) {
    if let Some((_, message)) = &mut made.arrived {
        let read = prost_reflect::DynamicMessage::decode(binding.rpc().input(), message.clone());
        *message = read.unwrap().encode_to_vec().into();
    }
}

#[tokio::test]
async fn every_rpc_is_asked_and_answered_as_envoy_does_it() {
    let Some(doors) = Doors::open().await else { return };
    let transcoder = transcoder();
    for binding in transcoder.bindings() {
        let rpc = binding.rpc();
        let message = sample(&rpc.input());
        let said = sample(&rpc.output()).encode_to_vec();
        let count = if rpc.is_server_streaming() { 2 } else { 1 };
        doors.witness.tells(vec![said; count], Status::ok(""));

        let [mut ours, mut theirs] = doors.ask(|| request(binding, &message)).await;
        sorted(binding, &mut ours);
        sorted(binding, &mut theirs);
        assert_eq!(ours.status, 200, "{}", rpc.full_name());
        assert_eq!((ours.lines.len(), ours.arrived.is_some()), (count, true), "{ours:?}");
        assert_eq!((theirs.status, &theirs.arrived), (200, &ours.arrived), "{}", rpc.full_name());
        if rpc.is_server_streaming() {
            // Of a stream that has ended at once Envoy 1.40 tells only the beginning.
            let begins = ours.text.starts_with(theirs.text.trim_end());
            assert!(begins && !theirs.text.is_empty(), "{ours:?} {theirs:?}");
        } else {
            assert_eq!(ours.lines, theirs.lines, "{} {}", binding.method(), binding.template());
        }
    }
}

#[tokio::test]
async fn errors_have_the_status_and_the_code_that_envoy_gives_them() {
    let Some(doors) = Doors::open().await else { return };
    let get = || Request::get("/v1/products/MUG").body(Bytes::new()).unwrap();
    for code in (1..=16).map(Code::from) {
        doors.witness.tells(Vec::new(), Status::with_details(code, "it cannot be", Bytes::new()));
        let [ours, theirs] = doors.ask(get).await;
        assert_eq!(ours.status, theirs.status, "{code:?}");
        for part in ["code", "message"] {
            assert_eq!(ours.lines[0][part], theirs.lines[0][part], "{code:?}: {theirs:?}");
        }
    }
    let mut details = ErrorDetails::new();
    details.set_error_info("REASON", "shop", []);
    let status = Status::with_error_details(Code::NotFound, "it cannot be", details);
    doors.witness.tells(Vec::new(), status);
    let [ours, theirs] = doors.ask(get).await;
    assert_eq!((ours.status, theirs.status), (404, 404));
    // Ours has the reason, and names the request besides; Envoy says nothing at all, since details are of
    // types that no contract names.
    let names = ["google.rpc.ErrorInfo", "google.rpc.RequestInfo"];
    let said = names.map(|name| json!(format!("type.googleapis.com/{name}")));
    let details = ours.lines[0]["details"].as_array().unwrap();
    assert_eq!(details.iter().map(|it| &it["@type"]).collect::<Vec<_>>(), said.each_ref());
    assert!(theirs.lines.is_empty(), "{theirs:?}");
}

fn asked(method: &str, target: &str, body: Body) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(target);
    let (request, body) = match body {
        Some((kind, body)) => (request.header(header::CONTENT_TYPE, kind), body),
        None => (request, ""),
    };
    request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

#[tokio::test]
async fn what_the_gateway_refuses_and_envoy_does_not_is_what_is_listed() {
    let Some(doors) = Doors::open().await else { return };
    for Difference(method, target, body, status, why) in DIFFERENCES {
        let [ours, theirs] = doors.ask(|| asked(method, target, body)).await;
        assert_eq!((ours.status, ours.arrived), (status, None), "{method} {target}: {why}");
        assert!(theirs.arrived.is_some(), "{method} {target}: no difference any more");
    }
    // Envoy may have begun a call before it has read the body, which then arrives whenever it likes: ours
    // are all asked before.
    for (method, target, body) in REFUSED {
        let ours = doors.made(doors.gateway.at, asked(method, target, body)).await;
        assert_eq!((ours.status, ours.arrived), (400, None), "{method} {target}");
        assert_eq!(ours.lines[0]["code"], Code::InvalidArgument as i32, "{:?}", ours.lines);
    }
    for (method, target, body) in REFUSED {
        let theirs = doors.made(doors.envoy.at(), asked(method, target, body)).await;
        assert_eq!(theirs.status, 400, "{method} {target}: {theirs:?}");
    }
}

#[tokio::test]
async fn headers_that_are_fields_are_so_at_the_gateway_alone() {
    let Some(doors) = Doors::open().await else { return };
    let [ours, theirs] = doors
        .ask(|| {
            let mut request = asked("POST", "/v1/carts/mine:clear", Some((JSON, "{}")));
            let headers = request.headers_mut();
            headers.insert("idempotency-key", "key".parse().unwrap());
            headers.insert(header::IF_MATCH, "\"etag\"".parse().unwrap());
            request
        })
        .await;
    let has = |made: &Made, text: &str| {
        let message = made.arrived.as_ref().unwrap().1.clone();
        message.windows(text.len()).any(|part| part == text.as_bytes())
    };
    for text in ["key", "etag"] {
        assert!(has(&ours, text) && !has(&theirs, text), "{text}");
    }
}

#[tokio::test]
async fn a_patch_says_what_it_changes_at_the_gateway_alone() {
    let Some(doors) = Doors::open().await else { return };
    let body = Some((JSON, "{\"newsletter\": true, \"etag\": \"e\"}"));
    let [ours, theirs] = doors.ask(|| asked("PATCH", "/v1/users/me/preferences", body)).await;
    let mask = |made: Made| {
        let (_, message) = made.arrived.unwrap();
        UpdatePreferencesRequest::decode(message).unwrap().update_mask.map(|mask| mask.paths)
    };
    // Envoy hands on what is there, and a service cannot tell what was not said from what is empty: the
    // language would be reset.
    assert_eq!(mask(ours), Some(vec!["newsletter".to_owned()]));
    assert_eq!(mask(theirs), None);
}
