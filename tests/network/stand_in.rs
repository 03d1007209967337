//! Stands where a service should be, and answers every call at once: UNAVAILABLE.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::future::{Ready, ready};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    transport::Server,
};

/// A server of one contract, which it does not keep. Ends with the value.
pub struct StandIn {
    pub address: SocketAddr,
    calls: Arc<AtomicU64>,
    _server: JoinSet<()>,
}

impl StandIn {
    pub async fn start<S: NamedService + Send + Sync + 'static>() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicU64::new(0));
        let refuse = Refuse::<S> { calls: Arc::clone(&calls), contract: Default::default() };
        let server = Server::builder().add_service(refuse);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address, calls, _server: tasks }
    }

    /// How many calls it has refused.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

struct Refuse<S> {
    calls: Arc<AtomicU64>,
    contract: std::marker::PhantomData<fn() -> S>,
}

impl<S> Clone for Refuse<S> {
    fn clone(&self) -> Self {
        Self { calls: Arc::clone(&self.calls), contract: self.contract }
    }
}

impl<S: NamedService> NamedService for Refuse<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Refuse<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = http::Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "14")
            .body(Body::empty());
        ready(Ok(answer.unwrap()))
    }
}
