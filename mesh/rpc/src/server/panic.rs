//! A panic is one call's failure, and tells the caller nothing.

use std::{
    any::Any,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

use futures::FutureExt as _;
use http::{Request, Response};
use opentelemetry::metrics::Counter;
use tonic::{Code, Status, body::Body};

use super::body::{ServerBody, Watch};
use crate::fault::{Fault, STACK, status};

static PANICS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.panics")
        .with_description("Handlers and streams that panicked")
        .build()
});

/// Answers INTERNAL for a handler or a stream that panics, logs what it said, and counts it.
///
/// Costs nothing that one could measure. Whatever a handler shares is either left whole or behind
/// a lock that knows of the panic.
///
/// ```
/// let server = tonic::transport::Server::builder().layer(mesh_rpc::server::CatchPanicLayer);
/// # drop(server);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchPanicLayer;

impl<S> tower::Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic { inner }
    }
}

/// A service whose panics are answers.
#[derive(Clone, Debug)]
pub struct CatchPanic<S> {
    inner: S,
}

impl<S, B> tower::Service<Request<B>> for CatchPanic<S>
where
    S: tower::Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        // Called inside, so that a panic before the first await is caught as well.
        let answer = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind();
        Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(error),
                Err(panic) => return Ok(caught(&*panic).into_http()),
            };
            Ok(ServerBody::watched(response, Watch::default()).await.map(Body::new))
        })
    }
}

/// Runs `step`, and returns what to answer if it panicked.
pub(super) fn guarded<T>(step: impl FnOnce() -> T) -> Result<T, Status> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| caught(&*panic))
}

/// Logs and counts a panic, and returns what to answer.
pub(super) fn caught(panic: &(dyn Any + Send)) -> Status {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    PANICS.add(1, &[]);
    status(STACK, &Panicked(said.unwrap_or("without a text").to_owned()))
}

/// Logged where it becomes a status; the caller learns no more than that it is our fault.
#[derive(Debug, thiserror::Error)]
#[error("handler panicked: {0}")]
struct Panicked(String);

impl Fault for Panicked {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn reason(&self) -> &'static str {
        "PANICKED"
    }
}
