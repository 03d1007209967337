//! A service's program that fails, or is slow: the real one behind a proxy that makes it so. It takes the
//! environment that the real one would be given, and answers where that would.
//!
//! - `FAULTY_PROGRAM`: the real one.
//! - `FAULTY_EVERY=20`: every twentieth call is answered INTERNAL, and does not reach it.
//! - `FAULTY_TIMES=10`: every answer takes ten times as long.
//!
//! Whatever it answers says so: `x-answered-by: faulty`. How it is, it tells without a fault.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Either, Empty, Full};
use hyper::{
    body::Incoming, client::conn::http2 as client, server::conn::http2, service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_local::{Identity, Signal, free_port};
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
    signal::unix::{SignalKind, signal},
};

const HEALTH: &str = "/grpc.health.v1.Health/";
const DRAIN: Duration = Duration::from_secs(5);

/// What is done to calls.
#[derive(Debug)]
struct Faults {
    every: Option<u64>,
    times: u32,
    calls: AtomicU64,
    /// Calls that are not answered yet.
    under_way: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut ending = signal(SignalKind::terminate())?;
    let program = env::var_os("FAULTY_PROGRAM").context("FAULTY_PROGRAM names no program")?;
    let here: SocketAddr = env::var("LISTEN_ADDR").context("LISTEN_ADDR")?.parse()?;
    let inner = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>());
    let every = number("FAULTY_EVERY").transpose()?;
    let times = number("FAULTY_TIMES").transpose()?.unwrap_or(1).try_into()?;
    let faults = Arc::new(Faults { every, times, calls: 0.into(), under_way: 0.into() });

    let mut real = Command::new(program);
    let mut real = real.env("LISTEN_ADDR", inner.to_string()).kill_on_drop(true).spawn()?;
    tokio::spawn(serve(TcpListener::bind(here).await?, inner, Arc::clone(&faults)));
    let status = tokio::select! {
        status = real.wait() => status?,
        _ = ending.recv() => {
            // The real one knows nothing of answers that are held back.
            let begun = Instant::now();
            while faults.under_way.load(Ordering::Relaxed) > 0 && begun.elapsed() < DRAIN {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if let Some(process) = real.id().and_then(Identity::of) {
                process.signal(Signal::TERM);
            }
            real.wait().await?
        }
    };
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(listener: TcpListener, inner: SocketAddr, faults: Arc<Faults>) {
    while let Ok((stream, _)) = listener.accept().await {
        let faults = Arc::clone(&faults);
        tokio::spawn(async move {
            // Who cannot be reached yet is asked again by whoever asks us.
            let _ = connection(stream, inner, faults).await;
        });
    }
}

async fn connection(stream: TcpStream, inner: SocketAddr, faults: Arc<Faults>) -> Result<()> {
    let onwards = TokioIo::new(TcpStream::connect(inner).await?);
    let (sender, driver) = client::handshake(TokioExecutor::new(), onwards).await?;
    tokio::spawn(driver);
    let service = service_fn(move |request| answer(request, sender.clone(), Arc::clone(&faults)));
    let server = http2::Builder::new(TokioExecutor::new());
    Ok(server.serve_connection(TokioIo::new(stream), service).await?)
}

async fn answer(
    request: Request<Incoming>,
    sender: client::SendRequest<Full<Bytes>>,
    faults: Arc<Faults>,
) -> Result<Response<Either<Incoming, Empty<Bytes>>>> {
    faults.under_way.fetch_add(1, Ordering::Relaxed);
    let answer = with_faults(request, sender, &faults).await;
    faults.under_way.fetch_sub(1, Ordering::Relaxed);
    answer
}

async fn with_faults(
    request: Request<Incoming>,
    mut sender: client::SendRequest<Full<Bytes>>,
    faults: &Faults,
) -> Result<Response<Either<Incoming, Empty<Bytes>>>> {
    let spared = request.uri().path().starts_with(HEALTH);
    // All of it, so that nobody is told to send no more.
    let (head, body) = request.into_parts();
    let body = Full::new(body.collect().await?.to_bytes());
    let number = if spared { 0 } else { faults.calls.fetch_add(1, Ordering::Relaxed) + 1 };
    let fails = faults.every.is_some_and(|every| number > 0 && number.is_multiple_of(every));
    let mut answer = if fails {
        let refused = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "13")
            .header("grpc-message", "faulty on purpose");
        refused.body(Either::Right(Empty::new()))?
    } else {
        let begun = Instant::now();
        let answer = sender.send_request(Request::from_parts(head, body)).await?;
        if !spared {
            tokio::time::sleep(begun.elapsed() * faults.times.saturating_sub(1)).await;
        }
        answer.map(Either::Left)
    };
    answer.headers_mut().insert("x-answered-by", HeaderValue::from_static("faulty"));
    Ok(answer)
}
