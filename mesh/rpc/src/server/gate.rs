//! The shape that all layers share which let a call in or turn it away.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

/// Lets calls in or turns them away, and knows how long those are under way that it let in.
///
/// [`Shed`](super::Shed), [`RateLimit`](super::RateLimit), [`Bulkhead`](super::Bulkhead) and
/// [`DrainGate`](super::DrainGate) are gates. Each is a `tower` layer for any tonic service:
///
/// ```
/// use mesh_policy::values;
/// use mesh_rpc::server::{Bulkhead, Gate as _, Shed};
///
/// let shed = Shed::new(values::Bulkhead { calls: 64, queue: 128 });
/// let server = tonic::transport::Server::builder()
///     .layer(shed.layer())
///     .layer(Bulkhead::new(16).layer());
/// # drop(server);
/// ```
pub trait Gate: Clone + Send + Sync + 'static {
    /// What a call holds from when it was let in until its response's body ends or is dropped.
    type Pass: Send + Unpin + 'static;

    /// Lets a call in, or says why not.
    fn admit(&self, head: &Parts) -> impl Future<Output = Result<Self::Pass, Status>> + Send;

    /// Returns the gate as a `tower` layer.
    fn layer(self) -> GateLayer<Self> {
        GateLayer(self)
    }
}

/// Puts a [`Gate`] in front of a service.
#[derive(Clone, Debug)]
pub struct GateLayer<G>(G);

impl<G: Gate, S> tower::Layer<S> for GateLayer<G> {
    type Service = Gated<G, S>;

    fn layer(&self, inner: S) -> Gated<G, S> {
        Gated { gate: self.0.clone(), inner }
    }
}

/// A service behind a [`Gate`].
#[derive(Clone, Debug)]
pub struct Gated<G, S> {
    gate: G,
    inner: S,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<G, S, B> tower::Service<Request<B>> for Gated<G, S>
where
    G: Gate,
    S: tower::Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gate = self.gate.clone();
        // The one that is ready is called; its clone may not be.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let pass = match gate.admit(&head).await {
                Ok(pass) => pass,
                Err(status) => return Ok(status.into_http()),
            };
            let response = inner.call(Request::from_parts(head, body)).await?;
            Ok(response.map(|body| Body::new(HeldBody { inner: body, pass: Some(pass) })))
        })
    }
}

/// A body that keeps something until it ends.
struct HeldBody<P> {
    inner: Body,
    pass: Option<P>,
}

impl<P: Unpin> http_body::Body for HeldBody<P> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let ended = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if ended {
            self.pass = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
