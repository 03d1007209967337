//! Servers that do what a call's metadata says, and keep what they saw of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, Stream, future::BoxFuture, stream};
use mesh_echo::{Asked, Echo, EchoServiceServer};
use mesh_policy::{Effective, Method};
use mesh_rpc::{Server, policy::LivePolicy};
use mesh_runtime::{Service, ServiceConfig};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status, Streaming, body::Body, codegen, metadata::MetadataMap,
};
use tonic_prost::ProstCodec;

use super::client::Call;

/// What a call is to meet; each has a name of its own, which its attempts share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case(String);

/// An attempt, as the callee saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    /// The deadline that it came with.
    pub timeout: Option<Duration>,
    /// How many came before it, as it says itself.
    pub earlier: usize,
}

/// A server. Ends with the value.
pub struct Callee {
    pub address: SocketAddr,
    book: Book,
    _tasks: JoinSet<()>,
    service: Option<Service>,
}

impl Case {
    /// UNAVAILABLE, and again, and then an answer.
    pub fn refused_twice(number: usize) -> Self {
        Self(format!("twice-{number}"))
    }

    /// UNAVAILABLE every time.
    pub fn refused(number: usize) -> Self {
        Self(format!("refused-{number}"))
    }

    /// Silence.
    pub fn never_answered(number: usize) -> Self {
        Self(format!("never-{number}"))
    }

    /// A call of this RPC that is to meet it.
    pub fn of(self, method: &Method) -> Call {
        let kind = match (method.client_streaming, method.server_streaming) {
            (false, false) => "unary",
            (false, true) => "answers",
            (true, false) => "requests",
            (true, true) => "both",
        };
        Call { case: self, kind, path: method.path.to_string() }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Callee {
    /// One that answers every RPC of every contract, with an empty message.
    pub async fn of_any_contract() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Book::default();
        let any = Any(book.clone());
        let routes = tonic::service::Routes::default().into_axum_router().fallback_service(any);
        let server = tonic::transport::Server::builder().add_routes(routes.into());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address, book, _tasks: tasks, service: None }
    }

    /// The policy lab's service behind this platform's own server, which holds to this policy.
    pub async fn of_the_lab(policy: Effective) -> Self {
        let config = ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() };
        let service = Service::begin("echo", &config).await.unwrap();
        let book = Book::default();
        let kept = book.clone();
        let echo = Echo::new(move |Asked { rpc, metadata, text, .. }| {
            let book = kept.clone();
            let path = format!("/echo.v1.EchoService/{rpc}");
            async move { book.meet(&path, &metadata).await.map(|()| text) }
        });
        let server = Server::new(&service, &[mesh_echo::DESCRIPTORS]);
        let server = server.add(EchoServiceServer::new(echo)).policy(&LivePolicy::fixed(policy));
        let address = server.serve(config.listen_addr).await.unwrap();
        Self { address, book, _tasks: JoinSet::new(), service: Some(service) }
    }

    /// The attempts of one call, in order.
    pub fn seen(&self, case: &Case) -> Vec<Seen> {
        self.book.0.lock().unwrap().get(&case.0).cloned().unwrap_or_default()
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        if let Some(service) = &self.service {
            service.stop();
        }
    }
}

/// What was seen, by case.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<HashMap<String, Vec<Seen>>>>);

impl Book {
    /// Notes an attempt, and does to it what it asks for.
    async fn meet(&self, path: &str, metadata: &MetadataMap) -> Result<(), Status> {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let case = text("case").ok_or_else(|| failed(Code::InvalidArgument))?;
        let seen = Seen {
            path: path.to_owned(),
            timeout: text("grpc-timeout").map(duration),
            earlier: text("grpc-previous-rpc-attempts").map_or(0, |text| text.parse().unwrap()),
        };
        let before = {
            let mut book = self.0.lock().unwrap();
            let attempts = book.entry(case.to_owned()).or_default();
            attempts.push(seen);
            attempts.len() - 1
        };
        match case.split('-').next() {
            Some("twice") if before >= 2 => Ok(()),
            Some("never") => std::future::pending().await,
            _ => Err(failed(Code::Unavailable)),
        }
    }
}

fn failed(code: Code) -> Status {
    Status::with_details(code, "as asked for", Bytes::new())
}

/// As gRPC's protocol has it: `299950m`.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().unwrap();
    match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => panic!("{text} is no timeout"),
    }
}

/// Answers whatever is called.
#[derive(Clone)]
struct Any(Book);

impl<B> codegen::Service<codegen::http::Request<B>> for Any
where
    B: codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<codegen::StdError> + Send + 'static,
{
    type Response = codegen::http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: codegen::http::Request<B>) -> Self::Future {
        let handler = Handler { book: self.0.clone(), path: request.uri().path().to_owned() };
        async move {
            if handler.path.starts_with("/grpc.") {
                return Ok(failed(Code::Unimplemented).into_http());
            }
            // On the wire, a message alone is a stream of one.
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<(), ()>::default());
            Ok(grpc.streaming(handler, request).await)
        }
        .boxed()
    }
}

struct Handler {
    book: Book,
    path: String,
}

type Answers = Pin<Box<dyn Stream<Item = Result<(), Status>> + Send>>;

impl codegen::Service<Request<Streaming<()>>> for Handler {
    type Response = Response<Answers>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<()>>) -> Self::Future {
        let (book, path) = (self.book.clone(), self.path.clone());
        async move {
            book.meet(&path, request.metadata()).await?;
            let one: Answers = Box::pin(stream::iter([Ok(())]));
            Ok(Response::new(one))
        }
        .boxed()
    }
}
