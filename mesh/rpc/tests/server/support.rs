//! A service with one RPC of each shape, answered by closures, and ways to reach it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    stream::BoxStream,
};
use http::uri::PathAndQuery;
use http_body_util::{Full, combinators::BoxBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_policy::values;
use mesh_rpc::{Channel, Server, discovery::Endpoints, server::ServerLimits};
use mesh_runtime::{Service, ServiceConfig};
use tokio::{net::TcpStream, sync::watch};
use tonic::{Request, Response, Status, Streaming, body::Body, server::NamedService};
use tonic_prost::ProstCodec;

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const MS: Duration = Duration::from_millis(1);
pub const SERVICE: &str = "lab.v1.EchoService";

#[derive(Clone, PartialEq, prost::Message)]
pub struct Echo {
    #[prost(string, tag = "1")]
    pub text: String,
}

pub fn echo(text: &str) -> Echo {
    Echo { text: text.to_owned() }
}

pub static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let here = env!("CARGO_MANIFEST_DIR");
    let roots = [format!("{here}/tests/server"), format!("{here}/../../proto")];
    let mut compiler = protox::Compiler::new(roots).unwrap();
    compiler.include_imports(true).open_file("echo.proto").unwrap();
    compiler.encode_file_descriptor_set()
});

type Answer = BoxFuture<'static, Result<Echo, Status>>;
pub type Messages = BoxStream<'static, Result<Echo, Status>>;

/// What is answered; by default what was said.
#[derive(Clone)]
pub struct Handlers {
    call: Arc<dyn Fn(String) -> Answer + Send + Sync>,
    down: Arc<dyn Fn(String) -> Messages + Send + Sync>,
    up: Arc<dyn Fn(Streaming<Echo>) -> Answer + Send + Sync>,
    both: Arc<dyn Fn(Streaming<Echo>) -> Messages + Send + Sync>,
    asked: Arc<Look>,
}

type Look = dyn Fn(&Request<Echo>) + Send + Sync;

impl Default for Handlers {
    fn default() -> Self {
        Self {
            call: Arc::new(|text| ready(Ok(echo(&text))).boxed()),
            down: Arc::new(|text| futures::stream::iter([Ok(echo(&text))]).boxed()),
            up: Arc::new(|mut requests| {
                async move {
                    let mut text = String::new();
                    while let Some(message) = requests.message().await? {
                        text.push_str(&message.text);
                    }
                    Ok(echo(&text))
                }
                .boxed()
            }),
            both: Arc::new(|requests| requests.boxed()),
            asked: Arc::new(|_| ()),
        }
    }
}

impl Handlers {
    pub fn call<F>(mut self, handler: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Echo, Status>> + Send + 'static,
    {
        self.call = Arc::new(move |text| handler(text).boxed());
        self
    }

    /// Looks at each unary request before it is answered.
    pub fn asked(mut self, look: impl Fn(&Request<Echo>) + Send + Sync + 'static) -> Self {
        self.asked = Arc::new(look);
        self
    }

    pub fn down(mut self, handler: impl Fn(String) -> Messages + Send + Sync + 'static) -> Self {
        self.down = Arc::new(handler);
        self
    }

    pub fn up<F>(mut self, handler: impl Fn(Streaming<Echo>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Echo, Status>> + Send + 'static,
    {
        self.up = Arc::new(move |requests| handler(requests).boxed());
        self
    }

    pub fn both(
        mut self,
        handler: impl Fn(Streaming<Echo>) -> Messages + Send + Sync + 'static,
    ) -> Self {
        self.both = Arc::new(handler);
        self
    }
}

impl NamedService for Handlers {
    const NAME: &'static str = SERVICE;
}

impl tower::Service<http::Request<Body>> for Handlers {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<Echo, Echo>::default());
        async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let answer = match method.as_str() {
                "Down" | "Follow" => {
                    let down = |request: Request<Echo>| {
                        ready(Ok::<_, Status>(Response::new((this.down)(
                            request.into_inner().text,
                        ))))
                    };
                    grpc.server_streaming(tower::service_fn(down), request).await
                }
                "Up" => {
                    let up = |request: Request<Streaming<Echo>>| {
                        (this.up)(request.into_inner()).map(|answer| answer.map(Response::new))
                    };
                    grpc.client_streaming(tower::service_fn(up), request).await
                }
                "Both" => {
                    let both = |request: Request<Streaming<Echo>>| {
                        ready(Ok::<_, Status>(Response::new((this.both)(request.into_inner()))))
                    };
                    grpc.streaming(tower::service_fn(both), request).await
                }
                _ => {
                    let call = |request: Request<Echo>| {
                        (this.asked)(&request);
                        (this.call)(request.into_inner().text)
                            .map(|answer| answer.map(Response::new))
                    };
                    grpc.unary(tower::service_fn(call), request).await
                }
            };
            Ok(answer)
        }
        .boxed()
    }
}

/// A running server.
pub struct Callee {
    pub service: Service,
    pub address: SocketAddr,
    pub limits: ServerLimits,
    pub values: watch::Sender<values::Server>,
}

impl Callee {
    pub async fn echo() -> Self {
        Self::start(config(), values::Server::default(), Handlers::default()).await
    }

    pub async fn start(config: ServiceConfig, values: values::Server, handlers: Handlers) -> Self {
        Self::with(config, values, handlers, |server| server).await
    }

    pub async fn with(
        config: ServiceConfig,
        values: values::Server,
        handlers: Handlers,
        more: impl FnOnce(Server) -> Server,
    ) -> Self {
        let service = Service::begin("callee", &config).await.unwrap();
        let values = watch::Sender::new(values);
        let server = Server::new(&service, &[&DESCRIPTORS]).add(handlers);
        let mut server = more(server.values(values.subscribe()).seed(7));
        let limits = server.limits();
        let address = server.serve(config.listen_addr).await.unwrap();
        Self { service, address, limits, values }
    }

    pub fn channel(&self) -> Channel {
        channel(self.address)
    }

    /// Calls or connections under way, as the table tells.
    pub fn in_flight(&self, layer: &str) -> usize {
        let rows = self.limits.table();
        rows.iter().filter(|row| row.layer == layer).map(|row| row.in_flight).sum()
    }

    pub async fn stop(self) {
        self.service.stop();
        tokio::time::timeout(PATIENCE, self.service.finish()).await.expect("ends in time");
    }
}

/// A channel as behind a sidecar: what a server answers is not asked for again.
pub fn channel(address: SocketAddr) -> Channel {
    let source = format!("mesh:{address}").parse().unwrap();
    Channel::builder("caller", "echo").follow(&Endpoints::follow(&source))
}

pub fn config() -> ServiceConfig {
    ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() }
}

/// A client of the service.
#[derive(Clone)]
pub struct Client(pub Channel);

impl Client {
    fn path(method: &'static str) -> PathAndQuery {
        PathAndQuery::try_from(format!("/{SERVICE}/{method}")).unwrap()
    }

    fn grpc(&self) -> tonic::client::Grpc<Channel> {
        tonic::client::Grpc::new(self.0.clone())
    }

    pub async fn call(&self, request: Request<Echo>) -> Result<String, Status> {
        self.unary("Call", request).await
    }

    pub async fn unary(
        &self,
        method: &'static str,
        request: Request<Echo>,
    ) -> Result<String, Status> {
        let codec = ProstCodec::<Echo, Echo>::default();
        let response = self.grpc().unary(request, Self::path(method), codec).await?;
        Ok(response.into_inner().text)
    }

    pub async fn down(&self, request: Request<Echo>) -> Result<Streaming<Echo>, Status> {
        self.stream("Down", request).await
    }

    pub async fn stream(
        &self,
        method: &'static str,
        request: Request<Echo>,
    ) -> Result<Streaming<Echo>, Status> {
        let codec = ProstCodec::<Echo, Echo>::default();
        let stream = self.grpc().server_streaming(request, Self::path(method), codec).await;
        stream.map(Response::into_inner)
    }
}

/// Counts what lives: handlers that run.
#[derive(Clone, Default)]
pub struct Alive(Arc<AtomicUsize>);

pub struct Life(Alive);

impl Alive {
    pub fn begin(&self) -> Life {
        self.0.fetch_add(1, Ordering::SeqCst);
        Life(self.clone())
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until `what` is true.
#[track_caller]
pub fn eventually(what: &str, mut ask: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let begin = tokio::time::Instant::now();
        while !ask() {
            assert!(begin.elapsed() < PATIENCE, "{caller}: waited in vain for: {what}");
            tokio::time::sleep(5 * MS).await;
        }
    }
}

type RawBody = BoxBody<Bytes, Infallible>;

/// An empty message.
pub fn empty() -> RawBody {
    BoxBody::new(Full::new(Bytes::from_static(&[0; 5])))
}

/// A client that knows no deadlines, so that only the server's count.
pub struct Raw(pub http2::SendRequest<RawBody>);

impl Raw {
    pub async fn connect(callee: &Callee) -> Self {
        Self::to(callee.address).await
    }

    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(64 << 10)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn post(
        &mut self,
        method: &str,
        timeout: &str,
        body: RawBody,
    ) -> http::Response<hyper::body::Incoming> {
        let request = http::Request::post(format!("http://callee/{SERVICE}/{method}"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout)
            .body(body)
            .unwrap();
        tokio::time::timeout(PATIENCE, self.0.send_request(request)).await.unwrap().unwrap()
    }
}
