//! One call, from the generated client to an answer: what surrounds each, in order.

use std::{pin::pin, sync::Arc};

use http::{
    HeaderMap, Method, Request, Response, Uri, Version,
    header::{AUTHORIZATION, Entry},
    request::Parts,
};
use mesh_runtime::trace::{self, TraceContext};
use tokio::time::Instant;
use tonic::{Status, body::Body};
use tracing::Instrument as _;

use super::{
    Shared,
    body::{ClientBody, Read},
    methods::Plan,
};
use crate::{
    Deadline,
    attempt::{Attempt, Call},
    carried, deadline, grpc_timeout, refusal,
    replay::Payload,
    telemetry::{self, Record},
};

/// Makes the call: telemetry, deadline, then what [`Shared::bounded`] says.
pub(super) async fn run(
    shared: Arc<Shared>,
    request: Request<Body>,
    inherited: Option<Deadline>,
) -> Result<Response<ClientBody>, Status> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches('/');
    let part = trace::part(|| telemetry::client_span(shared.target.as_str(), path));
    let plan = shared.methods.plan(path, &shared.retries);
    let mut record = Record::client(Arc::clone(&plan.durations), Instant::now(), &part);

    let explicit = parts.extensions.get().copied();
    let explicit = explicit.or_else(|| grpc_timeout::read(&parts.headers).map(Deadline::after));
    let deadline = plan.deadline(explicit, inherited);
    let Parts { uri, version, headers, .. } = parts;
    // Each attempt of a call that is seen has a span of its own, or the call's.
    let trace = part.place.filter(|_| part.span.is_disabled());
    let head = Head { uri, version, headers, trace };
    // Pinned before it is wrapped: each layer that took it by value would move and keep a copy.
    let work = pin!(shared.bounded(&plan, &head, body, deadline));
    match deadline::within(deadline, work).instrument(part.span).await {
        Ok(response) => {
            record.read(response.headers());
            let response = refusal::received(response)?;
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
    /// Where the call is, if no span tells it.
    trace: Option<TraceContext>,
}

impl Head {
    fn request(&self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = self.version;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl Shared {
    /// Bulkhead, retry or hedge, re-sending; the place in the bulkhead is held until the answer's
    /// body ends.
    async fn bounded(
        &self,
        plan: &Plan,
        head: &Head,
        body: Body,
        deadline: Option<Deadline>,
    ) -> Result<Response<Read>, Status> {
        let permit = self.bulkhead.enter(deadline).await?;
        let payload = self.replay.take(body).await?;
        let call = Call::new(self.target.clone(), plan.name.clone())
            .deadline(deadline)
            .repeatable(payload.is_repeatable());
        let resend = self.resend.clone().endpoints(self.balancer.len());
        let send = |attempt| self.send(head, &payload, attempt);
        let attempt = |attempt| resend.run(attempt, send);
        let answer = self.retries.run_known(&plan.memory, &call, plan.rule, attempt).await?;
        Ok(permit.hold(answer))
    }

    /// Sends the request once, to an endpoint that the call was not sent to if there is one.
    async fn send(
        &self,
        head: &Head,
        payload: &Payload,
        attempt: Attempt<'_>,
    ) -> Result<Response<Body>, Status> {
        let pick = self.balancer.pick(attempt.tried(), attempt.deadline()).await?;
        let mut request = head.request(payload.body());
        attempt.write(request.headers_mut());
        self.identity.attach(self.target.as_str(), request.headers_mut());
        trace::inject(head.trace, request.headers_mut());
        carried::inject(request.headers_mut());
        if let Some(user) = &self.user
            && let Entry::Vacant(vacant) = request.headers_mut().entry(AUTHORIZATION)
            && let Some(token) = user()
        {
            vacant.insert(token);
        }
        Ok(pick.send(request).await?.map(Body::new))
    }
}
