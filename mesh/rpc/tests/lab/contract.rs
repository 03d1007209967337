//! The contract decides what becomes of a call; attempts, hedges, bulkheads and fallbacks.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_echo::{
    Echo,
    v1::{AddRequest, ChatRequest, CollectRequest, GlanceRequest, ListRequest, PutRequest},
};
use mesh_rpc::{
    Code, Disposition, Refusal, disposition,
    fallback::{Degraded, degraded},
    refusal, timeout_request,
};
use tokio::{net::TcpListener, time::Instant};
use tokio_stream::StreamExt as _;
use tonic::Status;

use crate::support::{Callee, Stack, failed, metric, nobody, read};

fn unavailable() -> Status {
    failed(Code::Unavailable)
}

/// Fails the first calls.
fn flaky(failures: usize) -> Echo {
    Echo::new(move |asked| async move {
        if asked.number < failures { Err(unavailable()) } else { Ok(asked.text) }
    })
}

#[tokio::test]
async fn the_contract_decides_what_is_repeated() {
    let callee = Callee::start(flaky(2)).await;
    let answer = Stack::new("contract", &[callee.address]).client().read(read("hi")).await;
    assert_eq!(answer.unwrap().into_inner().text, "hi");
    assert_eq!(callee.echo.asked(), 3);

    let callee = Callee::start(flaky(2)).await;
    let put = PutRequest { request_id: "1".to_owned(), text: "hi".to_owned() };
    Stack::new("contract", &[callee.address]).client().put(put).await.unwrap();
    assert_eq!(callee.echo.asked(), 3);

    let callee = Callee::start(flaky(2)).await;
    let add = AddRequest { text: "hi".to_owned() };
    let status = Stack::new("contract", &[callee.address]).client().add(add).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "not now"));
    assert_eq!(callee.echo.asked(), 1);
}

/// The routes of a sidecar are told to repeat nothing, so that who knows the contract does.
#[tokio::test]
async fn behind_a_sidecar_the_contract_decides_what_is_repeated_too() {
    let callee = Callee::start(flaky(2)).await;
    let stack = Stack::behind_sidecar("sidecar", callee.address);

    assert_eq!(stack.client().read(read("hi")).await.unwrap().into_inner().text, "hi");
    assert_eq!(callee.echo.asked(), 3);

    let callee = Callee::start(flaky(1)).await;
    let stack = Stack::behind_sidecar("sidecar", callee.address);
    let add = AddRequest { text: "hi".to_owned() };
    assert_eq!(stack.client().add(add).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(callee.echo.asked(), 1);
}

#[tokio::test]
async fn a_stream_is_repeated_before_its_first_message_and_a_stream_of_requests_never() {
    let callee = Callee::start(flaky(2)).await;
    let list = ListRequest { text: "hi".to_owned(), count: 3, pause: None };
    let answer = Stack::new("streams", &[callee.address]).client().list(list).await.unwrap();
    let texts: Vec<_> = answer.into_inner().map(|it| it.unwrap().text).collect().await;
    assert_eq!(texts, ["hi"; 3]);
    assert_eq!(callee.echo.asked(), 3);

    let callee = Callee::start(flaky(1)).await;
    let collect = tokio_stream::iter([CollectRequest { text: "hi".to_owned() }]);
    let mut client = Stack::new("streams", &[callee.address]).client();
    client.collect(collect).await.unwrap_err();
    assert_eq!(callee.echo.asked(), 1);

    let chat = tokio_stream::iter(["a", "b"]).map(|text| ChatRequest { text: text.to_owned() });
    let answers = client.chat(chat).await.unwrap().into_inner();
    let texts: Vec<_> = answers.map(|it| it.unwrap().text).collect().await;
    assert_eq!(texts, ["a", "b"]);
}

#[tokio::test]
async fn a_peer_that_dies_in_a_call_costs_only_what_must_not_be_repeated() {
    let alive = Callee::start(Echo::default()).await;

    let answer =
        Stack::new("dies", &[mortal().await, alive.address]).client().read(read("hi")).await;
    assert_eq!(answer.unwrap().into_inner().text, "hi");
    assert_eq!(alive.echo.asked(), 1);

    let mut client = Stack::new("dies", &[mortal().await, alive.address]).client();
    let (mut answered, mut failed) = (0, 0);
    while failed == 0 {
        match client.add(AddRequest::default()).await {
            Ok(_) => answered += 1,
            Err(status) => {
                failed += 1;
                assert_eq!(status.code(), Code::Unavailable);
                assert_eq!(disposition(&status), Disposition::MaybeProcessed);
            }
        }
    }
    assert_eq!(alive.echo.asked(), 1 + answered, "it was not sent again");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_costs_not_even_what_must_not_be_repeated() {
    let alive = Callee::start(Echo::default()).await;
    let (_nobody, nobody) = nobody();
    let stack = Stack::new("absent", &[nobody, alive.address]);

    stack.client().add(AddRequest::default()).await.unwrap();

    assert_eq!(alive.echo.asked(), 1);
    assert_eq!(stack.table()["budget"]["tokens"], 100.0);
}

#[tokio::test]
async fn the_callee_sees_which_attempt_it_is_and_the_time_left() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let echo = Echo::new(move |asked| {
        let text = |name| asked.metadata.get(name).map(|it| it.to_str().unwrap().to_owned());
        let timeout = text("grpc-timeout").unwrap();
        let micros: u64 = timeout.strip_suffix('u').unwrap().parse().unwrap();
        notes.lock().unwrap().push((text("grpc-previous-rpc-attempts"), micros));
        async { Err(unavailable()) }
    });
    let callee = Callee::start(echo).await;

    let mut client = Stack::new("headers", &[callee.address]).client();
    client.read(timeout_request(read("hi"), Duration::from_secs(20))).await.unwrap_err();

    let seen = seen.lock().unwrap();
    let attempts: Vec<_> = seen.iter().map(|(previous, _)| previous.as_deref()).collect();
    assert_eq!(attempts, [None, Some("1"), Some("2")]);
    assert!(seen.windows(2).all(|pair| pair[0].1 > pair[1].1 + 40_000), "it shrinks: {seen:?}");
}

#[tokio::test]
async fn a_hedge_that_wins_cancels_the_slow_handler() {
    let cancelled = Arc::new(AtomicBool::new(false));
    let slow = Arc::new(AtomicUsize::new(usize::MAX));
    let (flag, which) = (Arc::clone(&cancelled), Arc::clone(&slow));
    let echo = Echo::new(move |asked| {
        let hangs = asked.number == which.load(Relaxed);
        let flag = Arc::clone(&flag);
        async move {
            if hangs {
                let _cancelled = OnDrop(flag);
                pending::<()>().await;
            }
            Ok(asked.text)
        }
    });
    let callee = Callee::start(echo).await;
    let mut client = Stack::new("hedged", &[callee.address]).client();
    let glance = || GlanceRequest { text: "hi".to_owned() };
    for _ in 0..120 {
        client.glance(glance()).await.unwrap();
    }
    // A computed pause is kept for a while.
    tokio::time::sleep(Duration::from_millis(110)).await;
    slow.store(callee.echo.asked(), Relaxed);

    let answer = client.glance(timeout_request(glance(), Duration::from_secs(10))).await;

    assert_eq!(answer.unwrap().into_inner().text, "hi");
    let patience = Instant::now() + Duration::from_secs(10);
    while !cancelled.load(Relaxed) {
        assert!(Instant::now() < patience, "the loser goes on");
        tokio::task::yield_now().await;
    }
    assert_eq!(metric("mesh_rpc_client_hedges_won_total", "hedged"), 1.0);
}

#[tokio::test]
async fn a_place_in_the_bulkhead_is_held_until_the_stream_ends() {
    let callee = Callee::start(Echo::default()).await;
    let stack = Stack::set("held", &[callee.address], "[targets.held]\nbulkhead = { calls = 1 }");
    let list = ListRequest {
        text: "hi".to_owned(),
        count: 2,
        pause: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
    };

    let mut stream = stack.client().list(list).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let status = stack.client().read(read("hi")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(refusal(&status), Some(Refusal::Bulkhead));
    assert_eq!(disposition(&status), Disposition::NotSent);

    drop(stream);
    stack.client().read(read("hi")).await.unwrap();
    assert_eq!(stack.table()["bulkhead"]["calls"], 0);
}

#[tokio::test]
async fn over_real_hops_only_the_one_next_to_the_failure_repeats() {
    let leaf = Callee::start(flaky(usize::MAX)).await;
    let middle = Callee::start(relay("leaf", leaf.address)).await;
    let outer = Callee::start(relay("middle", middle.address)).await;

    let status = Stack::new("outer", &[outer.address]).client().read(read("hi")).await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!((outer.echo.asked(), middle.echo.asked(), leaf.echo.asked()), (1, 1, 3));
    for callee in [leaf, middle, outer] {
        callee.stop().await;
    }
}

#[tokio::test]
async fn a_page_without_its_neighbour_is_shown_and_says_so() {
    let (_nobody, nobody) = nobody();
    let mut neighbour = Stack::new("neighbour", &[nobody]).client();

    let status = neighbour.read(read("hi")).await.unwrap_err();
    let page = Degraded::of("neighbour", &status).unwrap().answer("from yesterday");

    let why = ["neighbour NO_ENDPOINT", "neighbour CIRCUIT_OPEN"];
    let said = degraded(page.metadata()).collect::<Vec<_>>();
    assert!(why.iter().any(|why| said == [*why]), "{said:?}");
}

/// A service that asks the next one and fails as it fails.
fn relay(target: &'static str, next: SocketAddr) -> Echo {
    let stack = Stack::new(target, &[next]);
    Echo::new(move |_| {
        let mut next = stack.client();
        async move {
            let answer = next.read(read("hi")).await.map_err(|_| unavailable())?;
            Ok(answer.into_inner().text)
        }
    })
}

struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A peer that dies once it has a request.
async fn mortal() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let arrived = Arc::new(tokio::sync::Notify::new());
        let bell = Arc::clone(&arrived);
        let answer = service_fn(move |_| {
            bell.notify_one();
            pending::<Result<Response<Full<Bytes>>, io::Error>>()
        });
        let serving = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), answer);
        tokio::select! {
            _ = serving => {}
            () = arrived.notified() => {}
        }
    });
    address
}
