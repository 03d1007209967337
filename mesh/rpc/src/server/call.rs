//! One call, from the connection to the generated server: what surrounds every handler, in order.

use std::{
    convert::Infallible,
    future::pending,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::SystemTime,
};

use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mesh_auth::{Revocations, SKEW, User};
use mesh_runtime::{correlation, trace};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Code, Status, body::Body};
use tracing::{Instrument as _, Span};

use super::{
    Bulkhead, BulkheadPermit, Criticality, Permit, Stack,
    body::{ServerBody, Watch},
    connection::{Connection, Underway},
    deadline::{self, RequestBody},
    methods::{Kind, Method},
    panic,
    refusal::refused,
};
use crate::{
    Deadline,
    carried::Carried,
    criticality,
    fields::REQUEST_ID,
    guard::Scope,
    peer,
    refusal::{self, Refusal},
    telemetry::{Record, server_span},
};

/// How often Envoy has sent the call, this time included.
const ENVOY_ATTEMPTS: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
/// Names, values and 32 bytes for each pair (RFC 9113 §6.5.2). Other gRPC servers read 8 or 16 KiB.
const MAX_METADATA: usize = 32 << 10;

/// Answers one call: telemetry, panics, drain, deadline, shedding, identity, rates, access,
/// bulkhead, handler.
pub(super) async fn answer(
    stack: Arc<Stack>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ServerBody>, Infallible> {
    if !is_grpc(request.headers()) {
        return Ok(unsupported());
    }
    let plan = Plan::new(&stack, &request);
    let method = &plan.method;
    let caller = trace::extract(request.headers());
    let part = trace::entry(caller, || server_span(stack.name, method.name.as_str()));
    let mut record = Record::server(Arc::clone(&method.durations), plan.begin, &part);
    let span = part.span;
    if let Some(story) = correlation::extract(request.headers()) {
        correlation::note(&span, story);
    }
    let mut passes = Passes::begin(Connection::begin(&connection, plan.deadline));
    let carried = Carried::read(request.headers(), &stack.baggage);
    if let Some(id) = carried.request_id() {
        span.record(REQUEST_ID, id);
    }
    let scope = Scope::carrying(plan.class, carried);

    // Pinned before they are wrapped, here and below: a layer that took one by value would move it.
    let mut response = {
        let work = pin!(bounded(&stack, &connection, request, &plan, &mut passes));
        scope.enter(work).instrument(span.clone()).await
    };
    if plan.resent {
        refusal::disown(response.headers_mut());
    }
    scope.mark(response.headers_mut());
    if let Some(deprecated) = &plan.method.deprecated {
        deprecated.tell(response.headers_mut());
    }
    record.read(response.headers());
    // A stream of ours ends itself when the drain begins; nobody tells health and reflection.
    let closing = (plan.method.kind != Kind::Contract).then_some(&stack.closing);
    let stops = [closing, Some(&connection.stop)];
    let watch = Watch {
        record: Some(record),
        span: Some(span),
        scope: Some(scope),
        passes,
        deadline: plan.deadline,
        stops,
    };
    let response = ServerBody::watched(response, watch).await;
    connection.turn.say();
    Ok(response)
}

/// Whose token may be revoked, and who hears of it.
pub(super) type Revocable = (Arc<User>, Arc<Revocations>);

/// What a call holds until its response's body has ended.
#[derive(Default)]
pub(super) struct Passes {
    underway: Option<Underway>,
    drain: Option<TaskTrackerToken>,
    place: Option<Permit>,
    service: Option<BulkheadPermit>,
    /// The user who makes the call, if it is one's.
    user: Option<Arc<User>>,
    revocations: Option<Arc<Revocations>>,
}

impl Passes {
    fn begin(underway: Underway) -> Self {
        Self { underway: Some(underway), ..Self::default() }
    }

    /// When the user's token ends, as this process counts time.
    pub(super) fn expires(&self) -> Option<Instant> {
        let end = self.user.as_ref()?.expires() + SKEW;
        let left = end.duration_since(SystemTime::now()).unwrap_or_default();
        Some(Instant::now() + left)
    }

    /// Whose token may be revoked, and who hears of it.
    pub(super) fn revocable(&self) -> Option<Revocable> {
        self.user.clone().zip(self.revocations.clone())
    }

    /// Notes that the call was answered, and not given up by its caller.
    pub(super) fn finished(&mut self) {
        if let Some(underway) = &mut self.underway {
            underway.finished();
        }
    }
}

/// What is known about a call before it is answered.
struct Plan {
    method: Arc<Method>,
    begin: Instant,
    deadline: Option<Deadline>,
    /// How much it matters; not asked for health.
    class: Option<Criticality>,
    /// A proxy has sent it before: who refuses this attempt knows nothing of the others.
    resent: bool,
}

impl Plan {
    fn new<B>(stack: &Stack, request: &Request<B>) -> Self {
        let method = stack.methods.find(path(request.uri()));
        let begin = Instant::now();
        let deadline = deadline::read(request.headers(), method.limits, begin);
        let class = || criticality::of(request.headers(), method.criticality);
        let class = (method.kind != Kind::Health).then(class);
        let attempts = request.headers().get(ENVOY_ATTEMPTS);
        let resent = attempts.is_some_and(|attempts| attempts != "1");
        Self { method, begin, deadline, class, resent }
    }
}

/// Ends at the deadline, or when the connection must end; a panic is an answer like another.
async fn bounded(
    stack: &Stack,
    connection: &Connection,
    request: Request<Incoming>,
    plan: &Plan,
    passes: &mut Passes,
) -> Response<Body> {
    let begun = AtomicBool::new(false);
    let work = pin!(admitted(stack, connection, request, plan, passes, &begun));
    let work = AssertUnwindSafe(work).catch_unwind();
    let work = async { work.await.unwrap_or_else(|panic| Err(panic::caught(&*panic))) };
    let work = async {
        match plan.deadline {
            Some(deadline) => deadline.scope(work).await,
            None => work.await,
        }
    };
    let over = async {
        match plan.deadline {
            Some(deadline) => sleep_until(deadline.instant()).await,
            None => pending().await,
        }
    };
    let [before, after] = tokio::select! {
        biased;
        ended = work => return ended.unwrap_or_else(Status::into_http),
        () = over => [Refusal::Deadline, Refusal::DeadlineExceeded],
        () = connection.stop.cancelled() => [Refusal::Stopping, Refusal::Stopped],
    };
    refused(if begun.load(Relaxed) { after } else { before }).into_http()
}

async fn admitted(
    stack: &Stack,
    connection: &Connection,
    request: Request<Incoming>,
    plan: &Plan,
    passes: &mut Passes,
    begun: &AtomicBool,
) -> Result<Response<Body>, Status> {
    passes.drain = Some(stack.gate.enter()?);
    if let Some(deadline) = plan.deadline {
        deadline::arrived(deadline, plan.begin)?;
    }
    let mut request = request.map(|body| Body::new(RequestBody::new(body, plan.deadline)));
    connection.describe(request.extensions_mut());
    limit_metadata(request.headers())?;
    let method = &*plan.method;
    let Some(route) = &method.route else {
        return Err(refused(Refusal::ServiceUnknown));
    };
    if let Some(class) = plan.class {
        passes.place = Some(stack.shed.enter(class, plan.deadline).await?);
        identify(stack, plan, &mut request)?;
        stack.rate.check(request.extensions())?;
        if let Some(rule) = &method.rule {
            request = stack.access.admit(rule, request).await?;
            passes.user = request.extensions().get().map(Arc::clone);
            passes.revocations = stack.access.revocations().map(Arc::clone);
        }
        passes.service = method.bulkhead.as_ref().map(Bulkhead::enter).transpose()?;
        if class != Criticality::default() {
            request.extensions_mut().insert(class);
        }
    }
    if let Some(deadline) = plan.deadline {
        request.extensions_mut().insert(deadline);
    }
    begun.store(true, Relaxed);
    let mut response = route(request).await;
    if let Some(why) = unread(response.headers()) {
        return Err(refused(why));
    }
    refusal::disown(response.headers_mut());
    Ok(response)
}

/// Establishes who calls, for what follows and for the span.
fn identify(stack: &Stack, plan: &Plan, request: &mut Request<Body>) -> Result<(), Status> {
    let Some(authenticator) = &stack.authenticator else { return Ok(()) };
    let Some(from) = request.extensions().get::<peer::Connection>().cloned() else {
        return Err(authenticator.unknown());
    };
    let peer =
        authenticator.authenticate(&from, plan.method.name.as_str(), request.headers_mut())?;
    if let Some(peer) = peer {
        Span::current().record("mesh.peer", peer.key());
        request.extensions_mut().insert(peer);
    }
    Ok(())
}

/// Turns away what handlers and logs would have to carry around. Far more than this does not get
/// here: the connection answers it with HTTP's 431.
fn limit_metadata(headers: &HeaderMap) -> Result<(), Status> {
    let size: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    if size > MAX_METADATA { Err(refused(Refusal::MetadataTooLarge)) } else { Ok(()) }
}

/// What the generated server says, in its own words, of a message that is no message of ours.
const UNREADABLE: [&str; 5] = [
    "failed to decode Protobuf message",
    "protocol error: ",
    "Error decompressing",
    "Unexpected EOF decoding stream",
    "Missing request message",
];

/// Why the generated server gave up on a request before its handler. It says OUT_OF_RANGE of what is
/// too large, which means something else in our contracts, and INTERNAL of what it cannot read, which
/// is the caller's fault and not ours; and it gives no reason. Ours never come without one.
fn unread(headers: &HeaderMap) -> Option<Refusal> {
    let status = Status::from_header_map(headers).filter(|it| it.details().is_empty())?;
    match status.code() {
        Code::OutOfRange => Some(Refusal::MessageTooLarge),
        Code::Internal if UNREADABLE.iter().any(|how| status.message().starts_with(how)) => {
            Some(Refusal::MessageMalformed)
        }
        _ => None,
    }
}

fn path(uri: &http::Uri) -> &str {
    uri.path().trim_start_matches('/')
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
