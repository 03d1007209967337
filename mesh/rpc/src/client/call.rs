//! One call, from the generated client to an endpoint: measured, within its deadline, sent again
//! while the callee has surely not seen it.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Method, Request, Response, Uri, Version};
use tokio::time::{sleep, timeout_at};
use tonic::{Code, Status, body::Body};
use tower::Service as _;
use tracing::Instrument as _;

use super::{Shared, body::ClientBody, payload::Payload};
use crate::{
    Deadline, Disposition, disposition, grpc_timeout,
    telemetry::{self, Record},
    transport,
};

/// With less time left a call is not worth sending.
const LEAST: Duration = Duration::from_millis(2);
/// How often a call is sent again that did not leave.
const NOT_SENT_RESENDS: usize = 3;
/// How often a call is sent again that the callee turned away unseen.
const UNPROCESSED_RESENDS: usize = 1;
/// First pause before a call goes again to endpoints that all refuse connections: time for one
/// that is just restarting. It doubles.
const REFUSED_PAUSE: Duration = Duration::from_millis(25);
/// Time that a callee's answer needs to become an answer of ours.
const MARGIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// Makes the call.
pub(super) async fn run(
    shared: Arc<Shared>,
    request: Request<Body>,
    inherited: Option<Deadline>,
) -> Result<Response<ClientBody>, Status> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches('/');
    let span = telemetry::client_span(shared.target.as_str(), path);
    let method = shared.names.get(path);
    let (service, target) = (shared.service.clone(), shared.target.clone());
    let mut record = Record::client(service, target, method, span.clone());

    let deadline = deadline(&shared, path, &parts.headers, parts.extensions.get(), inherited);
    let mut head = Head { uri: parts.uri, version: parts.version, headers: parts.headers };
    let result = within(&shared, &mut head, body, deadline).instrument(span).await;
    match result {
        Ok(response) => {
            record.read(response.headers());
            Ok(response.map(|body| ClientBody::new(body, record, deadline)))
        }
        Err(status) => {
            record.ended(status.code());
            Err(status)
        }
    }
}

/// What each attempt begins with.
struct Head {
    uri: Uri,
    version: Version,
    headers: HeaderMap,
}

impl Head {
    fn request(&mut self, body: Body, last: bool) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = self.version;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() =
            if last { std::mem::take(&mut self.headers) } else { self.headers.clone() };
        request
    }
}

/// The earliest of what the caller asks for and what its own caller still waits for.
fn deadline(
    shared: &Shared,
    path: &str,
    headers: &HeaderMap,
    explicit: Option<&Deadline>,
    inherited: Option<Deadline>,
) -> Option<Deadline> {
    let explicit = explicit.copied().or_else(|| grpc_timeout::read(headers).map(Deadline::after));
    let inherited = inherited.map(|deadline| {
        let (least, most) = MARGIN;
        let margin = (deadline.remaining() / 50).clamp(least, most);
        Deadline::at(deadline.instant().checked_sub(margin).unwrap_or_else(|| deadline.instant()))
    });
    match (explicit, inherited) {
        (Some(explicit), Some(inherited)) => Some(explicit.min(inherited)),
        (None, None) => {
            let method = shared.contracts.as_ref()?.method(path)?;
            Some(Deadline::after(method.default_deadline))
        }
        (one, other) => one.or(other),
    }
}

async fn within(
    shared: &Shared,
    head: &mut Head,
    body: Body,
    deadline: Option<Deadline>,
) -> Result<Response<Body>, Status> {
    let Some(deadline) = deadline else {
        return attempts(shared, head, body, None, &AtomicUsize::new(0)).await;
    };
    if deadline.remaining() < LEAST {
        return Err(transport::not_sent(Code::DeadlineExceeded, "deadline exceeded"));
    }
    let sent_to = AtomicUsize::new(usize::MAX);
    let work = attempts(shared, head, body, Some(deadline), &sent_to);
    match timeout_at(deadline.instant(), work).await {
        // The connection broke while time was up: which came first does not matter.
        Ok(Err(status)) if status.code() == Code::Unavailable && deadline.remaining().is_zero() => {
            Err(transport::gave_up(Code::DeadlineExceeded, "deadline exceeded"))
        }
        Ok(result) => result,
        Err(_) => {
            // One that hangs would get its share of calls until pings find out.
            if let Some(endpoint) = shared.endpoints.get(sent_to.load(Ordering::Relaxed)) {
                endpoint.failed();
            }
            Err(transport::gave_up(Code::DeadlineExceeded, "deadline exceeded"))
        }
    }
}

async fn attempts(
    shared: &Shared,
    head: &mut Head,
    body: Body,
    deadline: Option<Deadline>,
    sent_to: &AtomicUsize,
) -> Result<Response<Body>, Status> {
    mesh_runtime::trace::inject(&mut head.headers);
    let mut payload = Payload::take(body).await?;
    // Every endpoint may turn out to be gone before the one that is there is found.
    let mut not_sent = NOT_SENT_RESENDS.max(shared.endpoints.len());
    let mut unprocessed = UNPROCESSED_RESENDS;
    let mut refusals = 0;
    let mut pause = REFUSED_PAUSE;
    loop {
        if let Some(deadline) = deadline {
            grpc_timeout::write(&mut head.headers, deadline.remaining());
        }
        let (index, endpoint) = shared.pick();
        sent_to.store(index, Ordering::Relaxed);
        let request = head.request(payload.body(), !payload.is_repeatable());
        let mut channel = endpoint.channel();
        let sent = async {
            poll_fn(|cx| channel.poll_ready(cx)).await?;
            channel.call(request).await
        };
        let status = match sent.await {
            Ok(response) => {
                endpoint.worked();
                return Ok(response);
            }
            Err(error) => transport::normalize(Box::new(error)),
        };
        let refused = transport::is_connect_error(&status);
        if refused {
            endpoint.failed();
        }
        let disposition = disposition(&status);
        let left = match disposition {
            Disposition::NotSent => &mut not_sent,
            Disposition::Unprocessed => &mut unprocessed,
            Disposition::MaybeProcessed => return Err(status),
        };
        if *left == 0 || !payload.is_repeatable() {
            return Err(status);
        }
        *left -= 1;
        telemetry::resent(&shared.target, disposition);
        refusals += usize::from(refused);
        // Every endpoint had its turn.
        if refused && refusals % shared.endpoints.len() == 0 {
            sleep(pause.mul_f64(rand::random_range(0.8..1.2))).await;
            pause *= 2;
        }
    }
}
