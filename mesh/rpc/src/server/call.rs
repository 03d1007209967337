//! One call, from the connection to the generated server: what surrounds every handler, in order.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mesh_runtime::trace;
use opentelemetry::StringValue;
use tokio::time::timeout_at;
use tonic::{Code, Status, body::Body};
use tracing::Instrument as _;

use super::{Stack, body::ServerBody};
use crate::{
    Deadline,
    fault::{STACK, StackFault, status},
    grpc_timeout,
    method::OTHER,
    telemetry::{Record, server_span},
};

/// RPCs that belong to no contract of the platform, for the metrics.
const INFRASTRUCTURE: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Answers one call: telemetry, deadline, panics, then the handler.
pub(super) async fn answer(
    stack: Arc<Stack>,
    request: Request<Incoming>,
) -> Result<Response<ServerBody>, Infallible> {
    if !is_grpc(request.headers()) {
        return Ok(unsupported());
    }
    let plan = Plan::new(&stack, &request);
    let span = server_span(stack.name, plan.name.as_str());
    if let Some(parent) = trace::extract(request.headers()) {
        trace::set_parent(&span, parent);
    }
    let mut record = Record::server(stack.label.clone(), plan.name, span.clone());

    let request = request.map(Body::new);
    let response = within(&stack, request, plan.deadline).instrument(span.clone()).await;
    record.read(response.headers());
    // A stream of ours ends itself when the drain begins; nobody tells health and reflection.
    let closing = (!plan.contract).then(|| stack.closing.clone());
    Ok(response.map(|body| ServerBody::new(body, record, span, plan.deadline, closing)))
}

/// What is known about a call before it is answered.
struct Plan {
    /// Its name in metrics and traces.
    name: StringValue,
    /// Whether a contract of ours names it.
    contract: bool,
    deadline: Option<Deadline>,
}

impl Plan {
    fn new<B>(stack: &Stack, request: &Request<B>) -> Self {
        let path = path(request);
        let asked = grpc_timeout::read(request.headers());
        match stack.table.method(path) {
            Some(method) => {
                let timeout = limit(asked, method.default_deadline, method.max_deadline);
                let name = StringValue::from(Arc::clone(&method.path));
                Self { name, contract: true, deadline: Some(Deadline::after(timeout)) }
            }
            None => {
                let known = INFRASTRUCTURE.into_iter().find(|known| *known == path);
                let name = StringValue::from(known.unwrap_or(OTHER));
                Self { name, contract: false, deadline: asked.map(Deadline::after) }
            }
        }
    }
}

fn limit(asked: Option<Duration>, default: Duration, max: Duration) -> Duration {
    asked.map_or(default, |asked| asked.min(max))
}

async fn within(
    stack: &Stack,
    mut request: Request<Body>,
    deadline: Option<Deadline>,
) -> Response<Body> {
    let Some(deadline) = deadline else { return guarded(stack, request).await };
    if deadline.remaining().is_zero() {
        return refusal(StackFault::DeadlineExceeded);
    }
    request.extensions_mut().insert(deadline);
    let work = deadline.scope(guarded(stack, request));
    timeout_at(deadline.instant(), work)
        .await
        .unwrap_or_else(|_| refusal(StackFault::DeadlineExceeded))
}

async fn guarded(stack: &Stack, request: Request<Body>) -> Response<Body> {
    let Some(route) = stack.routes.find(path(&request)) else {
        return refusal(StackFault::UnknownService);
    };
    // Whatever a handler shares was either left whole or is behind a lock that says so.
    let handled = AssertUnwindSafe(async { route(request).await }).catch_unwind().await;
    match handled {
        Ok(response) if is_unread(&response) => refusal(StackFault::MessageTooLarge),
        Ok(response) => response,
        Err(_) => refusal(StackFault::Panicked),
    }
}

/// True if the generated server gave up on a request that is too large. It says OUT_OF_RANGE, which
/// means something else in our contracts, and gives no reason; ours never come without one.
fn is_unread(response: &Response<Body>) -> bool {
    Status::from_header_map(response.headers())
        .is_some_and(|it| it.code() == Code::OutOfRange && it.details().is_empty())
}

fn refusal(fault: StackFault) -> Response<Body> {
    status(STACK, &fault).into_http()
}

fn path<B>(request: &Request<B>) -> &str {
    request.uri().path().trim_start_matches('/')
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A browser or a probe lost its way.
fn unsupported() -> Response<ServerBody> {
    let mut response = Response::new(ServerBody::empty());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}
