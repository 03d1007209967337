//! The balancer as a generated client's transport: each call once, to a picked endpoint.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Status, body::Body};

use super::{Answer, Balancer, Tried};
use crate::{Deadline, grpc_timeout};

/// Sends each call once. A [`Deadline`] among the request's extensions, or else its
/// `grpc-timeout`, bounds the wait for an endpoint; bounding the call is another layer's work.
impl tower::Service<Request<Body>> for Balancer {
    type Response = Response<Answer>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Status>> + Send>>;

    /// Always ready: a call waits for its endpoint itself.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let balancer = self.clone();
        let explicit = request.extensions().get().copied();
        let deadline =
            explicit.or_else(|| grpc_timeout::read(request.headers()).map(Deadline::after));
        Box::pin(async move {
            let pick = balancer.pick(&Tried::default(), deadline).await?;
            pick.send(request).await
        })
    }
}
