//! What each layer costs by itself: called in a loop, around a service that answers at once.
//!
//! The same loop without the layer is subtracted, round by round. Server layers are measured as a
//! stranger's tonic service has them, each with a box for its future and one for the body;
//! [`mesh_rpc::Server`] has one of these for all.

use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use mesh_auth::{Grant, Signer, SigningKey, Verifier};
use mesh_policy::{Callers, Table, values};
use mesh_rpc::attempt::Call;
use mesh_rpc::balance::{Balancer, State, Tcp, Tried};
use mesh_rpc::bulkhead::Bulkhead;
use mesh_rpc::deadline::{self, Bounded};
use mesh_rpc::replay::Replay;
use mesh_rpc::resend::Resend;
use mesh_rpc::retry::{Retries, Rule};
use mesh_rpc::server::{self, Gate as _};
use mesh_rpc::{Access, Code, Deadline, guard};
use mesh_runtime::trace::{self, TraceContext};
use opentelemetry::KeyValue;
use serde::Serialize;
use tonic::Status;
use tonic::body::Body;
use tower::{Service, service_fn};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::bench::growth::median;
use crate::demo::rounded;

const ROUNDS: usize = 31;
const BATCH: u32 = 500;
const LIMIT: Duration = Duration::from_secs(5);
/// For the balancer's connection.
const PATIENCE: Duration = Duration::from_secs(10);
const TARGET: &str = "echo";
const METHOD: &str = "echo.v1.EchoService/Read";
const PATH: &str = "/echo.v1.EchoService/Read";
const MESSAGE: &[u8] = &[0; 128];
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What a layer costs.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Its side and its name.
    pub layer: &'static str,
    /// Nanoseconds per call, the median of several rounds.
    pub ns: f64,
}

/// Measures all layers that the library has on offer; `server` is one that can be connected to.
pub(super) fn measure(server: SocketAddr) -> Result<Vec<Layer>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut layers = callers().await;
        layers.push(balancer(server).await?);
        layers.extend(both().await);
        layers.extend(servers().await);
        Ok(layers)
    })
}

/// The caller's side, but for the balancer.
async fn callers() -> Vec<Layer> {
    let plain = async || read(answer().await).await;
    let bulkhead = Bulkhead::new(values::Bulkhead::default());
    let (resend, retries, replay) = (Resend::default(), Retries::default(), Replay::default());
    let call = Call::new(TARGET, METHOD);
    let rule = Rule::default().idempotent();
    vec![
        layer(
            "client deadline",
            async || {
                let deadline = Some(Deadline::after(LIMIT));
                let answer = deadline::within(deadline, answer()).await;
                read(answer.map(|it| it.map(|body| Bounded::new(body, deadline)))).await;
            },
            plain,
        )
        .await,
        layer(
            "client bulkhead",
            async || {
                let permit = bulkhead.enter(None).await.expect("nobody else is in it");
                read(answer().await.map(|it| permit.hold(it))).await;
            },
            plain,
        )
        .await,
        layer(
            "client replay",
            async || {
                let payload = replay.take(Body::new(Full::from(MESSAGE))).await;
                read(payload.map(|it| Response::new(it.body()))).await;
            },
            async || read(Ok(Response::new(Body::new(Full::from(MESSAGE))))).await,
        )
        .await,
        layer(
            "client retry",
            async || {
                let call = Call::new(TARGET, METHOD);
                read(retries.run(&call, rule, |_| answer()).await).await;
            },
            plain,
        )
        .await,
        layer(
            "client resend",
            async || read(resend.run(call.first(), |_| answer()).await).await,
            plain,
        )
        .await,
    ]
}

async fn balancer(server: SocketAddr) -> Result<Layer> {
    let balancer = Balancer::new(TARGET, vec![server], values::Target::default(), Tcp);
    let connected = async {
        while balancer.table().iter().any(|row| row.state != State::Ready) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.context("the balancer does not connect")?;
    let pick = async || {
        let pick = balancer.pick(&Tried::default(), None).await;
        pick.expect("its endpoint is ready").conclude(Code::Ok);
    };
    Ok(layer("client balancer pick", pick, async || ()).await)
}

/// What a caller and a server both have.
async fn both() -> Vec<Layer> {
    // The stack's own record and spans are not public; these do what they do.
    let histogram = mesh_runtime::metrics::seconds("bench.rpc.call", "Calls that are none");
    let histogram = histogram.bind(&[
        KeyValue::new("rpc.method", METHOD),
        KeyValue::new("service", TARGET),
        KeyValue::new("rpc.response.status_code", "OK"),
    ]);
    let caller = TraceContext { trace_id: 1, span_id: 1, sampled: false };
    vec![
        layer(
            "telemetry record",
            async || {
                let begun = Instant::now();
                histogram.record(begun.elapsed().as_secs_f64(), None);
            },
            async || (),
        )
        .await,
        layer(
            "telemetry span, not sampled",
            async || {
                let span = trace::begin(Some(caller), span);
                ready(()).instrument(span.clone()).await;
                span.record("rpc.response.status_code", "OK");
            },
            async || (),
        )
        .await,
    ]
}

/// What the server's is like.
fn span() -> Span {
    tracing::error_span!(
        parent: None,
        "rpc.bench",
        otel.name = METHOD,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = METHOD,
        rpc.response.status_code = tracing::field::Empty,
        service = TARGET,
    )
}

/// The server's side, in the order in which a call meets them.
async fn servers() -> Vec<Layer> {
    let limits = server::Limits { default: LIMIT, max: LIMIT };
    let shed = server::Shed::new(values::Server::default().bulkhead);
    let rate = server::RateLimit::new(|_| None);
    // None is reached; without any the layer does nothing.
    let endless = values::Rate { per_second: 1e9, burst: u32::MAX };
    rate.set(Some(endless), Some(endless));
    vec![
        around("server panic", &server::CatchPanicLayer).await,
        around("server drain gate", &server::DrainGate::new().layer()).await,
        around("server deadline", &server::DeadlineLayer::new(move |_| Some(limits))).await,
        around("server shed", &shed.layer()).await,
        around("server rate", &rate.layer()).await,
        access().await,
        around("server bulkhead", &server::Bulkhead::new(256).layer()).await,
        layer(
            "server guard",
            async || {
                let (scope, work) = guard::scope(answer());
                let mut answer = work.await;
                if let Ok(answer) = &mut answer {
                    scope.mark(answer.headers_mut());
                }
                read(answer).await;
            },
            async || read(answer().await).await,
        )
        .await,
    ]
}

/// A rule for users, and a token that was seen before.
async fn access() -> Layer {
    let signer = Signer::new(TARGET, TARGET, SigningKey::generate().expect("there is randomness"));
    let users = Verifier::new(TARGET, TARGET);
    users.replace_keys(&signer.jwks());
    let access = Access::new(TARGET, Some(Arc::new(users)), Callers::default(), &[]);
    let table = Table::from_descriptors(&[mesh_echo::DESCRIPTORS]).expect("it is in order");
    let mut method = table.method(METHOD).expect("it is there").clone();
    method.access = mesh_policy::Access { signed_in: true, ..Default::default() };
    let rule = access.rule(&method).expect("not everybody may");
    let token = signer.sign(&Grant::new(Uuid::nil(), Uuid::nil())).expect("it can be signed");
    let header = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let header = header.expect("a token is ASCII");
    let request = || {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(AUTHORIZATION, header.clone());
        request
    };
    let admit = async || {
        let admitted = access.admit(&rule, request()).await;
        let _ = black_box(admitted.expect("it is good").extensions().len());
    };
    let plain = async || {
        let _ = black_box(request().extensions().len());
    };
    layer("server access, a user's", admit, plain).await
}

/// Measures a server's layer around a service that answers at once.
async fn around<L, S>(name: &'static str, wrap: &L) -> Layer
where
    L: tower::Layer<Ready, Service = S>,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let inner = service_fn(handler as Handler);
    let (mut with, mut without) = (wrap.layer(inner), inner);
    layer(name, async || called(&mut with).await, async || called(&mut without).await).await
}

type Handler = fn(Request<Body>) -> std::future::Ready<Result<Response<Body>, Infallible>>;
type Ready = tower::util::ServiceFn<Handler>;

fn handler(_: Request<Body>) -> std::future::Ready<Result<Response<Body>, Infallible>> {
    ready(Ok(Response::new(body())))
}

async fn called<S>(service: &mut S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static(PATH);
    request.headers_mut().insert(TIMEOUT, HeaderValue::from_static("5S"));
    read(service.call(request).await.map_err(|never| match never {})).await;
}

/// What a unary handler answers: a message, and trailers that say OK.
fn answer() -> std::future::Ready<Result<Response<Body>, Status>> {
    ready(Ok(Response::new(body())))
}

fn body() -> Body {
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let message = Full::new(Bytes::from_static(MESSAGE));
    Body::new(message.with_trailers(ready(Some(Ok(trailers)))))
}

/// Reads an answer to its end, as whoever called does.
async fn read<B>(answer: Result<Response<B>, Status>)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let Ok(answer) = answer else { unreachable!("everything is allowed") };
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let _ = black_box(frame.is_ok());
    }
}

async fn layer(
    layer: &'static str,
    mut with: impl AsyncFnMut(),
    mut without: impl AsyncFnMut(),
) -> Layer {
    let mut costs = Vec::with_capacity(ROUNDS);
    // One round more, to warm up.
    for round in 0..=ROUNDS {
        let cost = batch(&mut with).await - batch(&mut without).await;
        if round > 0 {
            costs.push(cost);
        }
    }
    // What costs next to nothing may come out below it.
    Layer { layer, ns: rounded(median(&costs)).max(0.0) }
}

/// Nanoseconds per call.
async fn batch(call: &mut impl AsyncFnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..BATCH {
        call().await;
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
}
