//! Stands between a consumer and a provider, passes every call on as it is, and lets the consumer's
//! [`Ear`] write down and change what comes back.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status, Streaming,
    codegen::{Service, StdError, http},
    server::{Grpc, StreamingService},
    service::Routes,
    transport::{Endpoint, Server},
};

use super::ear::Ear;
use crate::generated::call::Raw;

/// A server that a consumer takes for a provider. Ends with the value.
pub struct Tap {
    pub address: SocketAddr,
    provider: Arc<OnceLock<SocketAddr>>,
    _server: JoinSet<()>,
}

impl Tap {
    pub async fn start(ear: &Ear) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::default();
        let door = Door { ear: ear.clone(), provider: Arc::clone(&provider) };
        let routes = Routes::default().into_axum_router().fallback_service(door);
        let server = Server::builder().add_routes(routes.into());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address, provider, _server: tasks }
    }

    /// Calls go on to this provider. Before that they are refused.
    pub fn leads_to(&self, provider: SocketAddr) {
        self.provider.set(provider).unwrap();
    }
}

#[derive(Clone)]
struct Door {
    ear: Ear,
    provider: Arc<OnceLock<SocketAddr>>,
}

impl<B> Service<http::Request<B>> for Door
where
    B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let Self { ear, provider } = self.clone();
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let call = Call { ear, provider: provider.get().copied(), path };
        async move { Ok(Grpc::new(Raw).streaming(call, request).await) }.boxed()
    }
}

/// One call.
#[derive(Clone)]
struct Call {
    ear: Ear,
    provider: Option<SocketAddr>,
    path: String,
}

impl StreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let call = self.clone();
        async move { call.pass_on(request).await }.boxed()
    }
}

impl Call {
    /// A call with one request, as all that services make are.
    async fn pass_on(
        self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<BoxStream<'static, Result<Bytes, Status>>>, Status> {
        let Self { ear, provider, path } = self;
        let provider = provider.ok_or_else(|| Status::from_error("leads nowhere yet".into()))?;
        let (metadata, _, mut messages) = request.into_parts();
        let asked = messages.message().await?.unwrap_or_default();
        let channel = Endpoint::from_shared(format!("http://{provider}")).unwrap().connect_lazy();
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let mut onwards = Request::new(futures::stream::iter([asked.clone()]));
        *onwards.metadata_mut() = metadata;
        let to = format!("/{path}").parse().unwrap();
        let refused = |status| ear.refusal(&path, &asked, status);
        let answer = client.streaming(onwards, to, Raw).await.map_err(refused)?;
        let (metadata, answers, _) = answer.into_parts();
        let changed = answers.map(move |answer| match answer {
            Ok(answer) => Ok(ear.answer(&path, &asked, answer)),
            Err(status) => Err(ear.refusal(&path, &asked, status)),
        });
        let mut response = Response::new(changed.boxed());
        *response.metadata_mut() = metadata;
        Ok(response)
    }
}
