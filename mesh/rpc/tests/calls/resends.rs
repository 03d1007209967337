//! What surely was not done is sent again; what may have been done comes back.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_rpc::{Channel, Code, Disposition, disposition};
use tokio::{net::TcpListener, sync::Notify};
use tonic::Request;

use crate::support::{Callee, config, get, saga};

#[tokio::test]
async fn a_callee_that_is_not_there_is_unavailable_and_has_done_nothing() {
    let channel = Channel::new("caller", "nobody", &[nobody().await]).unwrap();

    let status = get(&channel, Request::new(saga("1"))).await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(disposition(&status), Disposition::NotSent);
}

#[tokio::test]
async fn a_callee_that_dies_in_a_call_is_unavailable_and_may_have_done_it() {
    let arrived = Arc::new(Notify::new());
    let mortal = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mortal.local_addr().unwrap();
    let bell = Arc::clone(&arrived);
    let life = tokio::spawn(async move {
        let (stream, _) = mortal.accept().await.unwrap();
        let answer = service_fn(move |_| {
            bell.notify_one();
            pending::<Result<Response<Full<bytes::Bytes>>, std::io::Error>>()
        });
        let serving = http2::Builder::new(TokioExecutor::new());
        let _ = serving.serve_connection(TokioIo::new(stream), answer).await;
    });
    let channel = Channel::new("caller", "mortal", &[address]).unwrap();
    let call = tokio::spawn(async move { get(&channel, Request::new(saga("1"))).await });

    arrived.notified().await;
    life.abort();
    let status = call.await.unwrap().unwrap_err();

    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(disposition(&status), Disposition::MaybeProcessed);
    assert_eq!(resends("mortal"), 0);
}

#[tokio::test]
async fn an_answer_of_the_callee_is_never_asked_for_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let callee = Callee::start(config(), move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Err(tonic::Status::from_error("broken".into())) }
    })
    .await;

    let status = get(&callee.channel("answer"), Request::new(saga("1"))).await.unwrap_err();

    assert_eq!(disposition(&status), Disposition::MaybeProcessed);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    callee.stop().await;
}

/// An address that refuses connections.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// How many calls to `target` were sent again so far.
fn resends(target: &str) -> u64 {
    let target = format!("target=\"{target}\"");
    let text = mesh_runtime::metrics::render().unwrap();
    text.lines()
        .filter(|line| line.starts_with("mesh_rpc_client_resends") && line.contains(&target))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}
