//! Endpoints that do what a test says, in memory or on sockets, and callers.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_policy::values;
use mesh_rpc::{
    Code, Deadline,
    balance::{Balancer, Connect, Dialing, Io, Options, Row, Tcp, Tried},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(60);
const SEED: u64 = 7;

/// What an endpoint does with a call.
#[derive(Clone, Debug)]
pub struct Plan {
    pub delay: Duration,
    pub code: Code,
    /// Messages before the end.
    pub messages: usize,
    /// Time between them, and before the end.
    pub pause: Duration,
    /// Every n-th call ends with `code`, the others are fine.
    pub every: usize,
}

impl Plan {
    pub fn fine(millis: u64) -> Self {
        let (delay, pause) = (Duration::from_millis(millis), Duration::ZERO);
        Self { delay, code: Code::Ok, messages: 1, pause, every: 1 }
    }

    pub fn fails(millis: u64, code: Code) -> Self {
        Self { code, messages: 0, ..Self::fine(millis) }
    }
}

/// One endpoint.
pub struct Peer {
    pub address: SocketAddr,
    pub hits: AtomicUsize,
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    plan: Mutex<Plan>,
    up: AtomicBool,
    max_streams: AtomicUsize,
    cut: Mutex<CancellationToken>,
    goodbye: Mutex<CancellationToken>,
    listening: bool,
}

impl Peer {
    fn new(address: SocketAddr, listening: bool) -> Arc<Self> {
        Arc::new(Self {
            address,
            hits: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            plan: Mutex::new(Plan::fine(5)),
            up: AtomicBool::new(true),
            max_streams: AtomicUsize::new(1024),
            cut: Mutex::default(),
            goodbye: Mutex::default(),
            listening,
        })
    }

    pub fn does(&self, plan: Plan) {
        *self.plan.lock().unwrap() = plan;
    }

    pub fn limits_streams(&self, count: usize) {
        self.max_streams.store(count, Ordering::Relaxed);
    }

    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }

    /// Ends it and its connections without a word.
    pub fn dies(&self) {
        self.up.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.cut.lock().unwrap()).cancel();
    }

    /// Says good-bye on every connection; calls under way end normally.
    pub fn says_goodbye(&self) {
        std::mem::take(&mut *self.goodbye.lock().unwrap()).cancel();
    }

    pub async fn rises(self: &Arc<Self>) {
        self.up.store(true, Ordering::Relaxed);
        if self.listening {
            let listener = TcpListener::bind(self.address).await.unwrap();
            self.listen(listener);
        }
    }

    fn listen(self: &Arc<Self>, listener: TcpListener) {
        let cut = self.cut.lock().unwrap().clone();
        let peer = Arc::clone(self);
        let accept = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(Arc::clone(&peer).serve(stream));
            }
        };
        tokio::spawn(async move { cut.run_until_cancelled(accept).await });
    }

    async fn serve(self: Arc<Self>, stream: impl Io) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let cut = self.cut.lock().unwrap().clone();
        let goodbye = self.goodbye.lock().unwrap().clone();
        let peer = Arc::clone(&self);
        let max = u32::try_from(self.max_streams.load(Ordering::Relaxed)).unwrap();
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new()).max_concurrent_streams(max);
        let serve = async {
            let answer = service_fn(move |request| Arc::clone(&peer).answer(request));
            let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = goodbye.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        };
        cut.run_until_cancelled(serve).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    async fn answer(
        self: Arc<Self>,
        _request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
        let hit = self.hits.fetch_add(1, Ordering::Relaxed);
        let mut plan = self.plan.lock().unwrap().clone();
        if !hit.is_multiple_of(plan.every) {
            plan = Plan { delay: plan.delay, ..Plan::fine(0) };
        }
        if !plan.delay.is_zero() {
            sleep(plan.delay).await;
        }
        let status = HeaderValue::from(plan.code as i32);
        let mut response = Response::builder().header("content-type", "application/grpc");
        let trailers =
            HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), status)]);
        if plan.messages == 0 {
            response.headers_mut().unwrap().extend(trailers);
            return Ok(response.body(http_body_util::Empty::new().boxed_unsync()).unwrap());
        }
        let message = Frame::data(Bytes::from_static(&[0; 5]));
        let frames = stream::repeat_with(move || message_of(&message))
            .take(plan.messages)
            .chain(stream::once(async { Frame::trailers(trailers) }))
            .enumerate()
            .then(move |(index, frame)| async move {
                if index > 0 && !plan.pause.is_zero() {
                    sleep(plan.pause).await;
                }
                Ok(frame)
            });
        Ok(response.body(StreamBody::new(frames).boxed_unsync()).unwrap())
    }
}

fn message_of(frame: &Frame<Bytes>) -> Frame<Bytes> {
    Frame::data(frame.data_ref().unwrap().clone())
}

/// Where endpoints live.
#[derive(Clone, Copy, Debug)]
pub enum Net {
    Memory,
    Sockets,
}

/// Endpoints, and a balancer in front of them.
pub struct World {
    pub peers: Vec<Arc<Peer>>,
    pub addresses: watch::Sender<Arc<[SocketAddr]>>,
    pub balancer: Balancer,
}

impl World {
    pub async fn new(net: Net, count: usize, values: values::Target) -> Self {
        Self::prepared(net, count, values, |_| ()).await
    }

    /// With something done to the endpoints before the balancer begins.
    pub async fn prepared(
        net: Net,
        count: usize,
        values: values::Target,
        prepare: impl FnOnce(&[Arc<Peer>]),
    ) -> Self {
        let mut peers = Vec::new();
        for index in 0..count {
            peers.push(match net {
                Net::Memory => {
                    let port = u16::try_from(index + 1).unwrap();
                    Peer::new(([10, 0, 0, 1], port).into(), false)
                }
                Net::Sockets => {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let peer = Peer::new(listener.local_addr().unwrap(), true);
                    peer.listen(listener);
                    peer
                }
            });
        }
        prepare(&peers);
        let all: Arc<[_]> = peers.iter().map(|peer| peer.address).collect();
        let (addresses, followed) = watch::channel(all);
        let options = Options { seed: Some(SEED), ..Options::from(values) };
        let balancer = match net {
            Net::Memory => Balancer::new("echo", followed, options, Memory(peers.clone())),
            Net::Sockets => Balancer::new("echo", followed, options, Tcp),
        };
        Self { peers, addresses, balancer }
    }

    pub fn row(&self, index: usize) -> Row {
        let address = self.peers[index].address;
        self.balancer.table().into_iter().find(|row| row.address == address).unwrap()
    }

    /// Waits until a row is as it should be.
    pub async fn row_is(&self, index: usize, is: impl Fn(&Row) -> bool) -> Row {
        let begin = Instant::now();
        loop {
            let row = self.row(index);
            if is(&row) {
                return row;
            }
            assert!(begin.elapsed() < PATIENCE, "{row:?}");
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn hits(&self) -> Vec<usize> {
        self.peers.iter().map(|peer| peer.hits()).collect()
    }

    /// Calls from `callers` at once for `time`; returns the codes of those that failed, and how
    /// many there were.
    pub async fn calls_for(&self, callers: usize, time: Duration) -> (Vec<Code>, usize) {
        let end = Instant::now() + time;
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                let balancer = self.balancer.clone();
                tokio::spawn(async move {
                    let (mut failed, mut calls) = (Vec::new(), 0);
                    while Instant::now() < end {
                        calls += 1;
                        if let Err(status) = call(&balancer).await {
                            failed.push(status.code());
                            // A caller does not call again before time passes.
                            sleep(Duration::from_millis(1)).await;
                        }
                    }
                    (failed, calls)
                })
            })
            .collect();
        let (mut failed, mut calls) = (Vec::new(), 0);
        for caller in callers {
            let (more, count) = caller.await.unwrap();
            failed.extend(more);
            calls += count;
        }
        (failed, calls)
    }
}

/// Connects within the process.
struct Memory(Vec<Arc<Peer>>);

impl Connect for Memory {
    fn connect(&self, address: SocketAddr) -> Dialing {
        let peer = self.0.iter().find(|peer| peer.address == address).unwrap();
        if !peer.up.load(Ordering::Relaxed) {
            return Box::pin(async { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) });
        }
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(Arc::clone(peer).serve(far));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }
}

pub fn request() -> Request<Body> {
    Request::post("/echo.Echo/Call").body(Body::empty()).unwrap()
}

/// Calls once, reads the answer to its end, and says where it came from.
pub async fn call(balancer: &Balancer) -> Result<SocketAddr, Status> {
    call_with(balancer, &Tried::default(), None).await
}

pub async fn call_with(
    balancer: &Balancer,
    tried: &Tried,
    deadline: Option<Deadline>,
) -> Result<SocketAddr, Status> {
    let pick = balancer.pick(tried, deadline).await?;
    let address = pick.address();
    let response = pick.send(request()).await?;
    if let Some(status) =
        Status::from_header_map(response.headers()).filter(|s| s.code() != Code::Ok)
    {
        return Err(status);
    }
    let collected = response.into_body().collect().await?;
    match collected.trailers().and_then(Status::from_header_map) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(address),
    }
}
