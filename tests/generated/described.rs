//! What the gateway's `/openapi.json` says of who may ask, held against what comes of asking.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use mesh_testkit::browse;
use serde_json::Value;

use super::forged::Forger;
use crate::shop::{Shop, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_or_anothers_is_refused_as_openapi_says() {
    let shop = Shop::with_gateway(|options| options).await;
    let door = shop.platform.grpc("gateway");
    let somebody = Forger::of(&shop.platform).token(&uuid(), &[]);
    let page = ask(door, "get", "/openapi.json", None, None).await.1;
    let (mut problems, mut asked) = (Vec::new(), 0);
    for (path, operations) in page["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_open = operation["security"].as_array().unwrap().is_empty();
            let is_barred = operation["responses"]["403"].is_object();
            let (target, body) = (filled(path), body(operation));
            for (token, expected) in [
                (None, (!is_open).then_some((401, "TOKEN_MISSING"))),
                (Some(&somebody), is_barred.then_some((403, "ACCESS_DENIED"))),
            ] {
                let token = token.map(String::as_str);
                let told = refused(&ask(door, method, &target, token, body.clone()).await);
                if told.as_ref().map(|(status, why)| (*status, why.as_str())) != expected {
                    problems.push(format!("{method} {path}: {expected:?}, but {told:?}"));
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 80, "{asked}");
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    shop.platform.shutdown().await;
}

/// The path, with something of nobody's in its open places.
fn filled(path: &str) -> String {
    let mut parts = path.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |filled, part| {
        let (_, rest) = part.split_once('}').unwrap();
        format!("{filled}{}{rest}", uuid())
    })
}

/// A body that speaks of all that may be said and says nothing of it, for a change of nothing is
/// refused before anybody asks who wants it. None where none is taken.
fn body(operation: &Value) -> Option<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let fields = schema["properties"].as_object();
    let said = fields.into_iter().flatten().map(|(name, _)| (name.clone(), Value::Null));
    schema.is_object().then(|| Value::Object(said.collect()).to_string())
}

async fn ask(
    door: SocketAddr,
    method: &str,
    target: &str,
    token: Option<&str>,
    body: Option<String>,
) -> (u16, Value) {
    let mut request = Request::builder().method(method.to_ascii_uppercase().as_str()).uri(target);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(token) = token {
        let token = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        request = request.header(header::AUTHORIZATION, token);
    }
    let answer = browse(door, request.body(Bytes::from(body.unwrap_or_default())).unwrap()).await;
    let answer = answer.unwrap();
    (answer.status.as_u16(), answer.json().await)
}

/// How the caller was turned away by the access rule; nothing if that let them in.
fn refused((status, body): &(u16, Value)) -> Option<(u16, String)> {
    let details = body["details"].as_array()?.iter();
    let mut reasons = details.filter_map(|detail| detail["reason"].as_str());
    let reason = reasons.find(|it| ["ACCESS_DENIED", "TOKEN_MISSING"].contains(it))?;
    Some((*status, reason.to_owned()))
}
