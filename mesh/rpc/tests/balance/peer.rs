//! Peers whose side of a connection a test plays itself, stream by stream or frame by frame.

use std::io;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use h2::{RecvStream, server::SendResponse};
use http::{Request, Response};
use http_body::Frame as BodyFrame;
use http_body_util::StreamBody;
use mesh_policy::values;
use mesh_rpc::{
    Code, Deadline, Disposition,
    balance::{Answer, Balancer, Options, Tried},
    disposition,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use crate::support::request;

pub const HEADERS: u8 = 1;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;
const PREFACE: usize = 24;
const ROOM: usize = 8 << 20;

/// A call as it arrives.
pub struct Arrival {
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
}

impl Arrival {
    /// Ends it well.
    pub fn answer(mut self) {
        self.respond.send_response(done(), true).unwrap();
    }
}

/// The headers of an answer that is nothing but its status.
pub fn done() -> Response<()> {
    Response::builder().header("grpc-status", "0").body(()).unwrap()
}

/// A peer that takes so many streams at once and hands each on.
pub struct Peer {
    pub balancer: Balancer,
    pub arrivals: mpsc::UnboundedReceiver<Arrival>,
    pub goodbye: CancellationToken,
}

impl Peer {
    pub fn new(max_streams: u32) -> Self {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let goodbye = CancellationToken::new();
        let token = goodbye.clone();
        let balancer = balancer(values::Target::default(), move |far| {
            tokio::spawn(serve(far, max_streams, arrived.clone(), token.clone()));
        });
        Self { balancer, arrivals, goodbye }
    }

    pub async fn next(&mut self) -> Arrival {
        self.arrivals.recv().await.unwrap()
    }
}

async fn serve(
    far: DuplexStream,
    max_streams: u32,
    arrived: mpsc::UnboundedSender<Arrival>,
    goodbye: CancellationToken,
) {
    let mut http = h2::server::Builder::new();
    let http = http.max_concurrent_streams(max_streams);
    let mut connection = http.handshake::<_, Bytes>(far).await.unwrap();
    let mut said = false;
    loop {
        let next = tokio::select! {
            next = connection.accept() => next,
            () = goodbye.cancelled(), if !said => {
                said = true;
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = next else { return };
        let _ = arrived.send(Arrival { request, respond });
    }
}

/// A balancer whose one endpoint is what `accept` does with each connection.
pub fn balancer(
    values: values::Target,
    accept: impl Fn(DuplexStream) + Send + Sync + 'static,
) -> Balancer {
    let connect = move |_| {
        let (near, far) = tokio::io::duplex(ROOM);
        accept(far);
        async { Ok::<_, io::Error>(near) }
    };
    Balancer::new("peer", vec![([10, 0, 0, 1], 1).into()], Options::from(values), connect)
}

/// A frame (RFC 9113 §4.1).
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A peer of frames.
pub struct Raw {
    io: DuplexStream,
}

impl Raw {
    /// Begins a connection by its settings.
    pub async fn begin(mut io: DuplexStream, max_streams: u32) -> Self {
        let mut preface = [0; PREFACE];
        io.read_exact(&mut preface).await.unwrap();
        let mut raw = Self { io };
        raw.limit(max_streams).await;
        raw
    }

    pub async fn limit(&mut self, max_streams: u32) {
        let setting = [&[0, 3][..], &max_streams.to_be_bytes()].concat();
        self.write(SETTINGS, 0, 0, &setting).await;
    }

    /// The next frame; what needs an answer has one.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.io.read_exact(&mut header).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        self.io.read_exact(&mut payload).await.ok()?;
        let frame = Frame { kind, flags, stream: u32::from_be_bytes(stream), payload };
        if frame.flags & ACK == 0 {
            match kind {
                SETTINGS => self.write(SETTINGS, ACK, 0, &[]).await,
                PING => self.write(PING, ACK, 0, &frame.payload).await,
                _ => {}
            }
        }
        Some(frame)
    }

    /// Waits for the next call, and returns its stream.
    pub async fn call(&mut self) -> u32 {
        loop {
            let frame = self.read().await.unwrap();
            if frame.kind == HEADERS {
                return frame.stream;
            }
        }
    }

    pub async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        // It may be gone.
        let _ = self.io.write_all(&[&header, payload].concat()).await;
    }

    pub async fn goaway(&mut self, last: u32, code: u32) {
        self.write(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).await;
    }

    /// Ends a stream with `:status: 200`.
    pub async fn answer(&mut self, stream: u32) {
        self.write(HEADERS, END_STREAM_AND_HEADERS, stream, &[0x88]).await;
    }
}

pub type Answered = Result<Response<Answer>, Status>;

pub async fn send(
    balancer: &Balancer,
    request: Request<Body>,
    deadline: Option<Deadline>,
) -> Answered {
    balancer.pick(&Tried::default(), deadline).await?.send(request).await
}

pub fn spawned(balancer: &Balancer, request: Request<Body>) -> JoinHandle<Answered> {
    let balancer = balancer.clone();
    tokio::spawn(async move { send(&balancer, request, None).await })
}

/// A request whose body is what is sent into a channel.
pub fn streamed() -> (mpsc::Sender<Result<Bytes, Status>>, Request<Body>) {
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Status>>(1);
    let frames =
        stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(|it| it.map(BodyFrame::data));
    (sender, request().map(|_| Body::new(StreamBody::new(frames))))
}

pub fn failure(answered: &Answered) -> (Code, Disposition) {
    let status = answered.as_ref().unwrap_err();
    (status.code(), disposition(status))
}
