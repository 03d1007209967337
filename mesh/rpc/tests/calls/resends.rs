//! What surely was not done is sent again; what may have been done comes back.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_rpc::{Channel, Code, Disposition, disposition, timeout_request};
use mesh_runtime::ServiceConfig;
use tokio::{net::TcpListener, sync::Notify};
use tonic::Request;

use crate::support::{Callee, PATIENCE, config, get, saga};

const CALLERS: usize = 16;
const RESTARTS: usize = 40;
const CALLS_BETWEEN: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_replicas_restart_one_after_the_other() {
    let handled = Arc::new(AtomicUsize::new(0));
    let replicas = [counting(&handled, config()).await, counting(&handled, config()).await];
    let addresses = replicas.each_ref().map(|replica| replica.address);
    let channel = Channel::new("caller", "churn", &addresses).unwrap();
    let calls = Calls::default();
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(calls.clone().make(channel.clone()))).collect();

    let replicas = restart_again_and_again(replicas, &handled, &calls).await;
    calls.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap().expect("no call fails");
    }

    let answered = calls.answered.load(Ordering::Relaxed);
    assert_eq!(handled.load(Ordering::Relaxed), answered, "none is handled twice");
    assert!(resends("churn") > 0, "the restarts were felt");
    for replica in replicas {
        replica.stop().await;
    }
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

#[derive(Clone, Default)]
struct Calls {
    answered: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Calls {
    /// Calls until it is over, or a call fails, which ends it for all.
    async fn make(self, channel: Channel) -> Result<(), tonic::Status> {
        while !self.over.load(Ordering::Relaxed) {
            let answer = get(&channel, timeout_request(saga("1"), PATIENCE)).await;
            answer.inspect_err(|_| self.over.store(true, Ordering::Relaxed))?;
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

async fn restart_again_and_again(
    replicas: [Callee; 2],
    handled: &Arc<AtomicUsize>,
    calls: &Calls,
) -> [Callee; 2] {
    let [mut next, mut other] = replicas;
    for _ in 0..RESTARTS {
        let goal = calls.answered.load(Ordering::Relaxed) + CALLS_BETWEEN;
        while calls.answered.load(Ordering::Relaxed) < goal {
            if calls.over.load(Ordering::Relaxed) {
                return [next, other];
            }
            tokio::task::yield_now().await;
        }
        let same_port = ServiceConfig { listen_addr: next.address, ..config() };
        next.stop().await;
        next = counting(handled, same_port).await;
        std::mem::swap(&mut next, &mut other);
    }
    [next, other]
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
