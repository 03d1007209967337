//! When an answered call ends at the latest: the caller's word within the contract's bounds.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use opentelemetry::metrics::Counter;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Status, body::Body};

use super::{
    body::{ServerBody, Watch},
    refusal::refused,
};
use crate::{Deadline, grpc_timeout, refusal::Refusal};

type BoxError = Box<dyn Error + Send + Sync>;

static EXPIRED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.expired_on_arrival")
        .with_description("Calls that came when nobody waited for their answer any more")
        .build()
});
static MALFORMED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.malformed_timeout")
        .with_description("Calls whose grpc-timeout was no timeout and was passed over")
        .build()
});

/// What a contract says about a method's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The deadline of a call that comes without one.
    pub default: Duration,
    /// The longest that is honoured; a longer one is cut to it.
    pub max: Duration,
}

/// Ends each call at its deadline with DEADLINE_EXCEEDED: the handler, the request's body and the
/// response's body, whether or not the caller reads it.
///
/// The deadline is the caller's `grpc-timeout` within the method's [`Limits`]; a method without
/// limits has one only if the caller says so. Handlers find it as [`Deadline::current`] and in the
/// request's extensions. tonic's own timeout says CANCELLED, which sidecars send again, and bounds
/// no body: leave it unset, or longer. Costs one timer per call, and a task for a stream.
///
/// ```
/// use std::time::Duration;
///
/// use mesh_rpc::server::{DeadlineLayer, Limits};
///
/// let five = Limits { default: Duration::from_secs(1), max: Duration::from_secs(5) };
/// let server = tonic::transport::Server::builder().layer(DeadlineLayer::new(move |_| Some(five)));
/// # drop(server);
/// ```
#[derive(Clone)]
pub struct DeadlineLayer {
    limits: Arc<Contract>,
}

type Contract = dyn Fn(&str) -> Option<Limits> + Send + Sync;

impl DeadlineLayer {
    /// Asks `limits` about each `package.Service/Method`.
    pub fn new(limits: impl Fn(&str) -> Option<Limits> + Send + Sync + 'static) -> Self {
        Self { limits: Arc::new(limits) }
    }
}

impl fmt::Debug for DeadlineLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineLayer").finish_non_exhaustive()
    }
}

impl<S> tower::Layer<S> for DeadlineLayer {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> WithDeadline<S> {
        WithDeadline { layer: self.clone(), inner }
    }
}

/// A service whose calls end at their deadline.
#[derive(Clone, Debug)]
pub struct WithDeadline<S> {
    layer: DeadlineLayer,
    inner: S,
}

impl<S, B> tower::Service<Request<B>> for WithDeadline<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path().trim_start_matches('/');
        let now = Instant::now();
        let deadline = read(request.headers(), (self.layer.limits)(path), now);
        let request = request.map(Body::new);
        let Some(deadline) = deadline else { return Box::pin(self.inner.call(request)) };
        if let Err(status) = arrived(deadline, now) {
            return Box::pin(async move { Ok(status.into_http()) });
        }
        // Made here and not when it is first polled: tonic's own timer is made after this one, and
        // of two that end together the older is told first.
        let over = sleep_until(deadline.instant());
        let mut request = request.map(|body| Body::new(RequestBody::new(body, Some(deadline))));
        request.extensions_mut().insert(deadline);
        let answer = deadline.scope(self.inner.call(request));
        Box::pin(async move {
            let response = tokio::select! {
                biased;
                response = answer => response?,
                () = over => return Ok(exceeded().into_http()),
            };
            let watch = Watch { deadline: Some(deadline), ..Watch::default() };
            Ok(ServerBody::watched(response, watch).await.map(Body::new))
        })
    }
}

/// Returns when a call with these headers ends that came at `begin`.
pub(super) fn read(
    headers: &HeaderMap,
    limits: Option<Limits>,
    begin: Instant,
) -> Option<Deadline> {
    let asked = grpc_timeout::read(headers);
    if asked.is_none() && headers.contains_key(grpc_timeout::GRPC_TIMEOUT) {
        MALFORMED.add(1, &[]);
    }
    let timeout = match limits {
        Some(limits) => Some(asked.map_or(limits.default, |asked| asked.min(limits.max))),
        None => asked,
    };
    timeout.map(|timeout| Deadline::from(begin, timeout))
}

/// Turns away a call that nobody waits for any more at `now`.
pub(super) fn arrived(deadline: Deadline, now: Instant) -> Result<(), Status> {
    if deadline.instant() <= now {
        EXPIRED.add(1, &[]);
        return Err(refused(Refusal::Deadline));
    }
    Ok(())
}

pub(super) fn exceeded() -> Status {
    refused(Refusal::DeadlineExceeded)
}

/// A request's body, whose next part is not waited for beyond the deadline: whoever reads it in a
/// task of its own is not dropped with the handler.
pub(super) struct RequestBody<B> {
    /// None when its time was over.
    inner: Option<B>,
    deadline: Option<Deadline>,
    /// Made when the body first has to be waited for: a unary request mostly is there at once.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, deadline: Option<Deadline>) -> Self {
        Self { inner: Some(inner), deadline, sleep: None }
    }
}

impl<B> http_body::Body for RequestBody<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx).map_err(Into::into);
        let (Poll::Pending, Some(deadline)) = (&polled, self.deadline) else { return polled };
        let over = || Box::pin(sleep_until(deadline.instant()));
        if self.sleep.get_or_insert_with(over).as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.inner = None;
        Poll::Ready(Some(Err(exceeded().into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
