//! What becomes of answers.

use http::{HeaderMap, HeaderValue, Method, header};
use mesh_transcode::{Binding, Framing, Transcoder};
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use crate::support::shelves;

fn binding<'a>(shelves: &'a Transcoder, rpc: &str) -> &'a Binding {
    shelves.bindings().iter().find(|binding| binding.rpc().name() == rpc).unwrap()
}

fn answer(rpc: &str, message: Value) -> Value {
    let shelves = shelves();
    let binding = binding(shelves, rpc);
    let message = DynamicMessage::deserialize(binding.rpc().output(), message).unwrap();
    serde_json::from_slice(&binding.answer(&message).unwrap()).unwrap()
}

#[test]
fn an_answer_is_canonical_json() {
    let book = json!({
        "title": "x",
        "author": { "given_name": "Ada" },
        "copies": 9_007_199_254_740_993_i64,
        "format": 1,
        "printed": "2026-11-23T09:00:00+01:00",
        "cover": "_-8",
        "lent": false,
        "old": false,
    });
    let expected = json!({
        "title": "x",
        "author": { "givenName": "Ada" },
        "copies": "9007199254740993",
        "format": "FORMAT_PLAIN",
        "printed": "2026-11-23T08:00:00Z",
        "cover": "/+8=",
        "lent": false,
    });
    assert_eq!(answer("ListBooks", json!({ "books": [book] })), json!({ "books": [expected] }));
}

#[test]
fn an_answer_can_be_a_field_of_it() {
    assert_eq!(answer("UpdateBook", json!({ "book": { "title": "x" } })), json!({ "title": "x" }));
    assert_eq!(answer("UpdateBook", json!({})), json!({}));
    assert_eq!(answer("PutBook", json!({ "tags": ["a"] })), json!(["a"]));
    assert_eq!(answer("PutBook", json!({})), json!([]), "an answer is always JSON");
}

#[test]
fn a_stream_is_lines_or_events() {
    let accept = |value| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
    for (accepts, framing) in [
        ("*/*", Framing::Lines),
        ("text/event-stream", Framing::Events),
        ("text/html, text/event-stream;q=0.9", Framing::Events),
        ("text/event-streams", Framing::Lines),
    ] {
        assert_eq!(Framing::accepted(&accept(accepts)), framing, "{accepts}");
    }
    assert_eq!(Framing::accepted(&HeaderMap::new()), Framing::Lines);

    let status = json!({ "code": 5 });
    assert_eq!(Framing::Lines.message(b"{}".to_vec()), b"{}\n");
    assert_eq!(Framing::Lines.error(&status), b"{\"error\":{\"code\":5}}\n");
    assert_eq!(Framing::Lines.end(), b"");
    assert_eq!(Framing::Events.message(b"{}".to_vec()), b"data: {}\n\n");
    assert_eq!(Framing::Events.error(&status), b"event: error\ndata: {\"code\":5}\n\n");
    assert_eq!(Framing::Events.end(), b"event: end\ndata: {}\n\n");
    let shelves = shelves();
    assert!(
        shelves.route(&Method::GET, "/v1/files/a").unwrap().binding().rpc().is_server_streaming()
    );
}
