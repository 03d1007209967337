//! A door to a service that turns the first call of one method away, and leads to it from then on.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    transport::{Channel, Endpoint, Server},
};

/// Ends with the value.
pub struct FailsOnce {
    pub address: SocketAddr,
    listener: Option<TcpListener>,
    server: JoinSet<()>,
    refused: Arc<AtomicU64>,
}

impl FailsOnce {
    /// Listens; connections wait until it leads somewhere.
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, listener: Some(listener), server: JoinSet::new(), refused: Arc::default() }
    }

    /// Leads to a service of contract `S`, whose first call of `method` it answers UNAVAILABLE.
    pub fn lead_to<S: NamedService + Send + Sync + 'static>(
        &mut self,
        service: SocketAddr,
        method: &'static str,
    ) {
        let channel = Endpoint::from_shared(format!("http://{service}")).unwrap().connect_lazy();
        let refused = Arc::clone(&self.refused);
        let door = DoorOf::<S> { channel, method, refused, contract: Default::default() };
        let listener = self.listener.take().expect("it leads nowhere yet");
        self.server.spawn(async move {
            let server = Server::builder().add_service(door);
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
    }

    /// How many calls it has turned away.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed).min(1)
    }
}

struct DoorOf<S> {
    channel: Channel,
    method: &'static str,
    refused: Arc<AtomicU64>,
    contract: std::marker::PhantomData<fn() -> S>,
}

impl<S> Clone for DoorOf<S> {
    fn clone(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            method: self.method,
            refused: Arc::clone(&self.refused),
            contract: self.contract,
        }
    }
}

impl<S: NamedService> NamedService for DoorOf<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for DoorOf<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let of_method = request.uri().path().ends_with(self.method);
        if of_method && self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
            return async { Ok(unavailable()) }.boxed();
        }
        let mut channel = self.channel.clone();
        async move {
            futures::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
            Ok(channel.call(request).await.unwrap_or_else(|_| unavailable()))
        }
        .boxed()
    }
}

fn unavailable() -> http::Response<Body> {
    let answer = http::Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", "14")
        .body(Body::empty());
    answer.unwrap()
}
