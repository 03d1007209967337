//! A request at a route that both sides have: answered by the side that it belongs to.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;
use mesh_transcode::{Refusal, Route};
use tonic::body::Body;

use super::{
    Crossing, Side,
    backend::{Answer, Failed},
    headers,
    metrics::{self, Answered},
    shadow,
};
use crate::{
    door::{self, Front},
    edge, json,
    story::Story,
    timing::Took,
    whole,
};

/// What an old system says that stands in for others, and cannot answer itself.
const AWAY: [StatusCode; 3] =
    [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

/// Answers by the side that the request belongs to. A read that the old system does not answer is
/// answered by the service, where there is one.
pub(crate) async fn answer(
    front: &Arc<Front>,
    crossing: &Crossing,
    routed: Result<Route<'_>, Refusal>,
    (head, body): (&Parts, Incoming),
    story: &Story,
) -> Response<Body> {
    let name = &crossing.route.name;
    if crossing.side == Side::New {
        let response = door::contracts(front, routed, head, body, story).await;
        metrics::answered(name, Answered::New);
        shadow::begin(front, crossing, head, story, &response);
        return response;
    }
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    if is_read {
        let begun = Instant::now();
        return match ask(crossing, head, Bytes::new(), story).await {
            Ok(answer) if !AWAY.contains(&answer.status) || routed.is_err() => {
                metrics::answered(name, Answered::Legacy);
                let response = response(answer, begun);
                shadow::begin(front, crossing, head, story, &response);
                response
            }
            Err(failed) if routed.is_err() => nobody(crossing, failed, story),
            _ => {
                metrics::answered(name, Answered::Fallback);
                door::contracts(front, routed, head, body, story).await
            }
        };
    }
    let held = match front.bodies.read(&front.config, edge::caller(head), body).await {
        Ok(held) => held,
        Err(refused) => return json::Failure::from(refused).response(story),
    };
    let begun = Instant::now();
    match ask(crossing, head, held.bytes.clone(), story).await {
        Ok(answer) => {
            metrics::answered(name, Answered::Legacy);
            response(answer, begun)
        }
        Err(failed) => nobody(crossing, failed, story),
    }
}

fn nobody(crossing: &Crossing, failed: Failed, story: &Story) -> Response<Body> {
    metrics::answered(&crossing.route.name, Answered::Nobody);
    json::Failure::from(failed.refused()).response(story)
}

/// Asks the old system what the client has asked.
pub(super) async fn ask(
    crossing: &Crossing,
    head: &Parts,
    body: Bytes,
    story: &Story,
) -> Result<Answer, Failed> {
    let backend = &crossing.route.backend;
    let sends_token = backend.settings.sends_token;
    let sent = headers::onwards(head, edge::forwarded(head), sends_token, story);
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    backend.ask(head.method.clone(), target, sent, body).await
}

/// The old system's answer, as it goes on to the client.
fn response(answer: Answer, begun: Instant) -> Response<Body> {
    let Answer { status, headers, bytes } = answer;
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_text = [&b"application/json"[..], b"text/"].iter().any(|it| kind.starts_with(it));
    let mut response = match is_text {
        true => whole::plain(status, bytes),
        // An image, say, is compressed as it is.
        false => {
            let mut response = Response::new(Body::new(Full::from(bytes)));
            *response.status_mut() = status;
            response
        }
    };
    *response.headers_mut() = headers::back(&headers);
    response.extensions_mut().insert(Took(begun.elapsed()));
    response
}
