//! Every refusal of a real server, as a real client understands it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, pending},
    stream,
};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_policy::values;
use mesh_rpc::{
    Code, Disposition, Refusal, disposition, normalized,
    peer::{Authenticator, Mode},
    reason, refusal,
    server::{DrainGate, Gate as _},
};
use mesh_runtime::ServiceConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status, Streaming, body::Body};
use tonic_prost::ProstCodec;

use crate::support::{
    Alive, Callee, Client, Echo, Handlers, MS, SERVICE, channel, config, echo, eventually,
};

/// Fails unless `status` is the refusal, with its code and its reason, and says how far it got.
#[track_caller]
fn is(status: &Status, expected: Refusal, got: Disposition) {
    assert_eq!(refusal(status), Some(expected), "{status:?}");
    assert_eq!(status.code(), expected.code());
    assert_eq!(reason(status).as_deref(), Some(expected.as_str()));
    assert_eq!(status.message(), expected.message());
    assert_eq!(disposition(status), got, "{status:?}");
    assert!(!status.metadata().contains_key("x-mesh-refusal"), "it is for this hop only");
}

fn pushback(status: &Status) -> u64 {
    let value = status.metadata().get("grpc-retry-pushback-ms").expect("has a pushback");
    value.to_str().unwrap().parse().unwrap()
}

fn one_endless_stream() -> Handlers {
    Handlers::default().down(|_| stream::iter([Ok(echo("1"))]).chain(stream::pending()).boxed())
}

/// Begins a stream that does not end until it is dropped.
async fn occupy(client: &Client) -> Streaming<Echo> {
    let mut ticks = client.down(Request::new(echo(""))).await.unwrap();
    ticks.message().await.unwrap();
    ticks
}

#[tokio::test]
async fn too_many_calls_for_the_server_or_for_one_service() {
    let full = values::Server {
        bulkhead: values::Bulkhead { calls: 1, queue: 0 },
        ..values::Server::default()
    };
    let callee = Callee::start(config(), full, one_endless_stream()).await;
    let client = Client(callee.channel());
    let _ticks = occupy(&client).await;
    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();
    is(&refused, Refusal::Overloaded, Disposition::Unprocessed);
    assert!(pushback(&refused) > 0);

    let values = values::Server::default();
    let bound = |server: mesh_rpc::Server| server.bound(SERVICE, 1);
    let callee = Callee::with(config(), values, one_endless_stream(), bound).await;
    let client = Client(callee.channel());
    let _ticks = occupy(&client).await;
    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();
    is(&refused, Refusal::ServiceBusy, Disposition::Unprocessed);
    assert!(pushback(&refused) > 0);
}

#[tokio::test]
async fn calls_that_come_too_often() {
    let callee = limited(0.1).await;
    let client = Client(callee.channel());
    client.call(Request::new(echo("1"))).await.unwrap();

    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();

    is(&refused, Refusal::RateLimited, Disposition::Unprocessed);
    assert!(pushback(&refused) > 0);
}

/// A server that takes one call, and then `per_second`.
async fn limited(per_second: f64) -> Callee {
    let total_rate = Some(values::Rate { per_second, burst: 1 });
    let values = values::Server { total_rate, ..values::Server::default() };
    Callee::start(config(), values, Handlers::default()).await
}

#[tokio::test]
async fn calls_that_are_larger_than_the_server_reads_or_for_nobody_here() {
    let callee = Callee::echo().await;
    let client = Client(callee.channel());

    let large = client.call(Request::new(echo(&"x".repeat(5 << 20)))).await.unwrap_err();
    is(&large, Refusal::MessageTooLarge, Disposition::MaybeProcessed);

    // Text that is none.
    let call = http::uri::PathAndQuery::from_static("/lab.v1.EchoService/Call");
    let codec = ProstCodec::<Vec<u8>, Echo>::default();
    let mut grpc = tonic::client::Grpc::new(callee.channel());
    let bytes = Request::new(vec![0xff, 0xfe]);
    let malformed = grpc.unary(bytes, call, codec).await.unwrap_err();
    is(&malformed, Refusal::MessageMalformed, Disposition::MaybeProcessed);

    let mut request = Request::new(echo("1"));
    request.metadata_mut().insert("x-large", "x".repeat(40 << 10).parse().unwrap());
    let large = client.call(request).await.unwrap_err();
    is(&large, Refusal::MetadataTooLarge, Disposition::Unprocessed);

    let nobody = http::uri::PathAndQuery::from_static("/lab.v1.NobodyService/Call");
    let codec = ProstCodec::<Echo, Echo>::default();
    let mut grpc = tonic::client::Grpc::new(callee.channel());
    let unknown = grpc.unary(Request::new(echo("1")), nobody, codec).await.unwrap_err();
    is(&unknown, Refusal::ServiceUnknown, Disposition::Unprocessed);
}

#[tokio::test]
async fn a_deadline_that_passed_before_the_handler_began_is_not_one_that_passed_while_it_ran() {
    let alive = Alive::default();
    let lives = alive.clone();
    let values = values::Server {
        bulkhead: values::Bulkhead { calls: 1, queue: 8 },
        ..values::Server::default()
    };
    let handlers = Handlers::default().call(move |_| {
        let life = lives.begin();
        async move {
            let _alive = life;
            pending().await
        }
    });
    let callee = Callee::start(config(), values, handlers).await;
    let bare = Bare::connect(&callee).await;

    let on_arrival = bare.call("0n").await.unwrap_err();
    is(&on_arrival, Refusal::Deadline, Disposition::Unprocessed);
    assert_eq!(alive.count(), 0);

    let (patient, queued) = (bare.clone(), bare.clone());
    let patient = tokio::spawn(async move { patient.call("2S").await });
    eventually("one is worked on", || alive.count() == 1).await;
    let queued = queued.call("50m").await.unwrap_err();
    is(&queued, Refusal::Deadline, Disposition::Unprocessed);
    assert_eq!(alive.count(), 1, "it was never worked on");

    let begun = patient.await.unwrap().unwrap_err();
    is(&begun, Refusal::DeadlineExceeded, Disposition::MaybeProcessed);
}

#[tokio::test]
async fn a_server_that_takes_no_more_calls_is_not_one_that_ends_those_it_has() {
    let gate = DrainGate::new();
    let client = stranger(Handlers::default(), gate.clone().layer()).await;
    client.call(Request::new(echo("1"))).await.unwrap();
    gate.close();
    let late = client.call(Request::new(echo("1"))).await.unwrap_err();
    is(&late, Refusal::Stopping, Disposition::Unprocessed);

    let alive = Alive::default();
    let lives = alive.clone();
    let handlers = one_endless_stream().call(move |_| {
        let life = lives.begin();
        async move {
            let _alive = life;
            pending().await
        }
    });
    let config = ServiceConfig { drain: 100 * MS, ..config() };
    let callee = Callee::start(config, values::Server::default(), handlers).await;
    let client = Client(callee.channel());
    let mut ticks = occupy(&client).await;
    let call = tokio::spawn(async move { client.call(Request::new(echo("1"))).await });
    eventually("it is worked on", || alive.count() == 1).await;
    callee.stop().await;
    is(&call.await.unwrap().unwrap_err(), Refusal::Stopped, Disposition::MaybeProcessed);
    let cut = ticks.message().await.unwrap_err();
    is(&cut, Refusal::Stopped, Disposition::MaybeProcessed);
}

#[tokio::test]
async fn one_whom_nobody_knows() {
    let namespace = "spiffe://mesh.local".parse().unwrap();
    let authenticator = Authenticator::new("callee", namespace, Mode::Required);
    let client = stranger(Handlers::default(), authenticator.layer()).await;

    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();

    assert_eq!(refusal(&refused), Some(Refusal::Unauthenticated));
    assert_eq!(reason(&refused).as_deref(), Some("CONNECTION_UNKNOWN"));
    assert_eq!(disposition(&refused), Disposition::Unprocessed);
}

/// A client of somebody else's tonic server behind one of the layers.
async fn stranger<L>(handlers: Handlers, layer: L) -> Client
where
    L: tower::Layer<tonic::service::Routes> + Clone + Send + 'static,
    L::Service: tower::Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = <tonic::service::Routes as tower::Service<http::Request<Body>>>::Error,
            Future: Send,
        > + Clone
        + Send
        + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().layer(layer).add_service(handlers);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Client(channel(address))
}

#[tokio::test]
async fn a_handler_that_hands_on_its_callees_refusal_was_begun_all_the_same() {
    let vouching = || {
        let mut status = Status::with_details(Code::ResourceExhausted, "no", Default::default());
        status.metadata_mut().insert("x-mesh-refusal", "OVERLOADED".parse().unwrap());
        status
    };
    let handlers = Handlers::default()
        .call(move |_| async move { Err(vouching()) })
        .down(move |_| stream::iter([Ok(echo("1")), Err(vouching())]).boxed());
    let callee = Callee::start(config(), values::Server::default(), handlers).await;
    let client = Client(callee.channel());
    let bare = Bare::connect(&callee).await;

    let mut stream = client.down(Request::new(echo(""))).await.unwrap();
    stream.message().await.unwrap();
    for status in [
        client.call(Request::new(echo("1"))).await.unwrap_err(),
        bare.call("5S").await.unwrap_err(),
        stream.message().await.unwrap_err(),
    ] {
        assert_eq!(status.message(), "no");
        assert_eq!((refusal(&status), disposition(&status)), (None, Disposition::MaybeProcessed));
        assert!(!status.metadata().contains_key("x-mesh-refusal"));
    }
}

#[tokio::test]
async fn what_envoy_has_sent_before_may_have_been_done_before() {
    let callee = limited(0.1).await;
    let client = Client(callee.channel());
    client.call(Request::new(echo("1"))).await.unwrap();

    let mut seen = Vec::new();
    for attempt in ["1", "2"] {
        let mut request = Request::new(echo("1"));
        request.metadata_mut().insert("x-envoy-attempt-count", attempt.parse().unwrap());
        let refused = client.call(request).await.unwrap_err();
        assert_eq!(refusal(&refused), Some(Refusal::RateLimited));
        seen.push(disposition(&refused));
    }

    assert_eq!(seen, [Disposition::Unprocessed, Disposition::MaybeProcessed]);
}

#[tokio::test]
async fn a_call_that_must_not_be_made_twice_is_repeated_if_the_server_did_not_begin_with_it() {
    use mesh_rpc::{
        attempt::Call,
        retry::{Retries, Rule},
    };
    let callee = limited(20.0).await;
    let client = Client(callee.channel());
    client.call(Request::new(echo("1"))).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let refusing = Handlers::default().call(move |_| {
        count.fetch_add(1, SeqCst);
        async {
            let mut status =
                Status::with_details(Code::ResourceExhausted, "no", Default::default());
            status.metadata_mut().insert("grpc-retry-pushback-ms", "1".parse().unwrap());
            Err(status)
        }
    });
    let other = stranger(refusing, tower::layer::util::Identity::new()).await;
    let (retries, call) = (Retries::default(), Call::new("refusals", "lab.v1.EchoService/Call"));
    let once = async |client: &Client| {
        let send = |_| async {
            client.call(Request::new(echo("1"))).await.map(|_| http::Response::new(Body::empty()))
        };
        retries.run(&call, Rule::default(), send).await
    };

    let repeated = once(&client).await;
    let other = once(&other).await.unwrap_err();

    assert!(repeated.is_ok(), "{repeated:?}");
    assert_eq!(call.repetitions(), 1);
    assert_eq!((other.code(), asked.load(SeqCst)), (Code::ResourceExhausted, 1), "who knows");
}

/// A client without a channel of ours, and so without a deadline of its own.
#[derive(Clone)]
struct Bare(http2::SendRequest<Body>);

impl Bare {
    async fn connect(callee: &Callee) -> Self {
        let stream = TcpStream::connect(callee.address).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn call(&self, timeout: &'static str) -> Result<String, Status> {
        let origin = http::Uri::from_static("http://callee");
        let mut grpc = tonic::client::Grpc::with_origin(self.clone(), origin);
        let mut request = Request::new(echo("1"));
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let codec = ProstCodec::<Echo, Echo>::default();
        let path = http::uri::PathAndQuery::from_static("/lab.v1.EchoService/Call");
        let answer =
            tokio::time::timeout(Duration::from_secs(30), grpc.unary(request, path, codec));
        let answer = answer.await.expect("ends in time").map_err(normalized)?;
        Ok(answer.into_inner().text)
    }
}

impl tower::Service<http::Request<Body>> for Bare {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.send_request(request).boxed()
    }
}
