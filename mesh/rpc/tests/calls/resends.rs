//! What surely was not done is sent again; what may have been done comes back.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_rpc::{Channel, Code, Disposition, disposition, timeout_request};
use mesh_runtime::ServiceConfig;
use tokio::{net::TcpListener, sync::Notify, time::timeout};
use tonic::Request;

use crate::support::{Callee, PATIENCE, config, get, saga};

const CALLERS: usize = 16;
/// For the whole of the restarts.
const LONG: Duration = Duration::from_secs(60);
const RESTARTS: usize = 20;
const CALLS_BETWEEN: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_its_callee_restarts_again_and_again() {
    let handled = Arc::new(AtomicUsize::new(0));
    let mut callee = counting(&handled, config()).await;
    let address = callee.address;
    let channel = callee.channel("churn");
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (channel, over) = (channel.clone(), Arc::clone(&over));
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    if let Err(status) = get(&channel, timeout_request(saga("1"), PATIENCE)).await {
                        over.store(true, Ordering::Relaxed);
                        return Err(status);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();

    let restarts = async {
        for _ in 0..RESTARTS {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let goal = answered.load(Ordering::Relaxed) + CALLS_BETWEEN;
            while answered.load(Ordering::Relaxed) < goal && !over.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            callee.stop().await;
            let same_port = ServiceConfig { listen_addr: address, ..config() };
            callee = counting(&handled, same_port).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let calls = async {
        for ended in futures::future::join_all(callers).await {
            ended.unwrap().expect("no call fails");
        }
    };
    timeout(LONG, futures::future::join(calls, restarts)).await.expect("calls go on");

    assert_eq!(handled.load(Ordering::Relaxed), answered.load(Ordering::Relaxed), "none twice");
    assert!(resends("churn") > 0, "the restarts were felt");
    callee.stop().await;
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_call() {
    let alive = Callee::echo().await;
    let addresses = [nobody().await, alive.address, nobody().await];
    let channel = Channel::new("caller", "failover", &addresses).unwrap();

    for call in 0..50 {
        let answer = get(&channel, Request::new(saga("1"))).await;
        assert_eq!(answer.unwrap(), "1", "call {call}");
    }

    assert!(resends("failover") > 0, "the dead ones were tried");
    alive.stop().await;
}

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

async fn counting(handled: &Arc<AtomicUsize>, config: ServiceConfig) -> Callee {
    let handled = Arc::clone(handled);
    Callee::start(config, move |id| {
        handled.fetch_add(1, Ordering::Relaxed);
        async { Ok(id) }
    })
    .await
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
