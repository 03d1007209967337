//! Stands where a service should, and remembers what it was sent: no real one tells.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// What a call came with: path, headers, and the request's message.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub message: Bytes,
}

/// What it does with every call.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Answers with an empty message when it has read everything.
    Empty,
    /// Sends back what comes, as it comes.
    Echo,
    /// Says nothing.
    Silent,
    /// Answers as the first, when it is let go.
    Held,
    /// Answers as the first, after so long.
    Late(Duration),
}

/// A service that is none.
pub struct Witness {
    pub at: SocketAddr,
    notes: Arc<Notes>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Notes {
    seen: Mutex<Vec<Seen>>,
    begun: AtomicUsize,
    given_up: AtomicUsize,
    gate: CancellationToken,
    /// What it answers, if that is no empty message.
    told: Mutex<Option<Told>>,
}

/// The messages of an answer, and how it ends.
#[derive(Clone, Debug)]
pub struct Told {
    pub messages: Vec<Vec<u8>>,
    pub status: Status,
}

impl Witness {
    pub async fn begin() -> Self {
        Self::of(Way::Empty).await
    }

    pub async fn echo() -> Self {
        Self::of(Way::Echo).await
    }

    pub async fn silent() -> Self {
        Self::of(Way::Silent).await
    }

    pub async fn held() -> Self {
        Self::of(Way::Held).await
    }

    pub async fn late(time: Duration) -> Self {
        Self::of(Way::Late(time)).await
    }

    async fn of(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, notes) = (listener.local_addr().unwrap(), Arc::<Notes>::default());
        let noting = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let notes = Arc::clone(&noting);
                let answer = service_fn(move |request| answer(way, request, Arc::clone(&notes)));
                let http = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { at, notes, task }
    }

    /// What it answers from now on.
    pub fn tells(&self, messages: Vec<Vec<u8>>, status: Status) {
        *self.notes.told.lock().unwrap() = Some(Told { messages, status });
    }

    /// Lets go whoever is held.
    pub fn release(&self) {
        self.notes.gate.cancel();
    }

    /// The call that came last.
    pub fn last(&self) -> Seen {
        self.notes.seen.lock().unwrap().last().cloned().expect("nobody called")
    }

    /// How many calls have said all that they had to say.
    pub fn heard(&self) -> usize {
        self.notes.seen.lock().unwrap().len()
    }

    /// How many calls came.
    pub fn count(&self) -> usize {
        self.notes.begun.load(Ordering::SeqCst)
    }

    /// How many of them their callers gave up.
    pub fn given_up(&self) -> usize {
        self.notes.given_up.load(Ordering::SeqCst)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Notes that a call was given up, when it is dropped.
struct Given(Arc<Notes>);

impl Drop for Given {
    fn drop(&mut self) {
        self.0.given_up.fetch_add(1, Ordering::SeqCst);
    }
}

impl Told {
    fn response(self) -> Response<BoxBody<Bytes, hyper::Error>> {
        let framed = |message: Vec<u8>| {
            [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat()
        };
        let bytes = self.messages.into_iter().map(framed).collect::<Vec<_>>().concat();
        let mut trailers = HeaderMap::new();
        self.status.add_header(&mut trailers).unwrap();
        let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
        let body = body.with_trailers(async { Some(Ok(trailers)) });
        let mut response = Response::new(body.boxed());
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response
    }
}

async fn answer(
    way: Way,
    request: Request<Incoming>,
    notes: Arc<Notes>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, hyper::Error> {
    notes.begun.fetch_add(1, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let body = match way {
        Way::Silent => {
            let _given = Given(notes);
            pending().await
        }
        Way::Echo => body.boxed(),
        Way::Empty | Way::Held | Way::Late(_) => {
            match way {
                Way::Held => notes.gate.cancelled().await,
                Way::Late(time) => sleep(time).await,
                _ => {}
            }
            let body = body.collect().await?.to_bytes();
            let message = body.slice(body.len().min(5)..);
            let path = head.uri.path().to_owned();
            notes.seen.lock().unwrap().push(Seen { path, headers: head.headers, message });
            let told = notes.told.lock().unwrap().clone();
            if let Some(told) = told {
                return Ok(told.response());
            }
            Full::new(Bytes::from_static(&[0; 5])).map_err(|never| match never {}).boxed()
        }
    };
    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let mut response = Response::new(body.with_trailers(async { Some(Ok(status)) }).boxed());
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response.headers_mut().insert("x-mesh-refusal", "none".parse().unwrap());
    Ok(response)
}
