//! What holds for calls holds for streams of every kind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use mesh_echo::{
    Echo,
    v1::{ChatRequest, CollectRequest},
};
use mesh_policy::values;
use mesh_rpc::{Channel, Code, timeout_request};
use mesh_runtime::ServiceConfig;
use tokio::time::Instant;
use tonic::{Request, Status, Streaming};

use crate::support::{Callee, MS, PATIENCE, Stack, add, config, endless, eventually, failed, read};

const DEADLINE: Duration = Duration::from_millis(200);

fn collect(text: &str) -> CollectRequest {
    CollectRequest { text: text.to_owned() }
}

fn chat(text: &str) -> ChatRequest {
    ChatRequest { text: text.to_owned() }
}

/// As [`timeout_request`] with a stream, of which there is no example to follow.
fn within<S: Stream>(deadline: Duration, requests: S) -> Request<S> {
    timeout_request(requests, deadline)
}

/// Reads to the end, which is an error.
async fn end<T>(mut answers: Streaming<T>) -> Status {
    loop {
        match answers.message().await {
            Ok(answer) => assert!(answer.is_some(), "no end without a word"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn streams_of_every_kind_end_at_their_deadline_for_caller_and_callee() {
    let callee = Callee::start(Echo::default()).await;
    let mut client = Stack::new("deadline", &[callee.address]).client();
    client.read(read("connected")).await.unwrap();
    let begin = Instant::now();

    let list = client.list(timeout_request(endless("tick", 10 * MS), DEADLINE)).await;
    let list = end(list.unwrap().into_inner()).await;
    let (mut uploader, uploads) = (client.clone(), stream::pending::<CollectRequest>());
    let up = uploader.collect(within(DEADLINE, uploads)).await.unwrap_err();
    let says = stream::iter([chat("1")]).chain(stream::pending());
    let both = client.chat(within(DEADLINE, says)).await;
    let both = end(both.unwrap().into_inner()).await;

    for status in [list, up, both] {
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
    assert!(begin.elapsed() + 60 * MS >= 3 * DEADLINE, "{:?}", begin.elapsed());
    eventually("no handler runs", || callee.echo.running() == 0).await;
    callee.stop().await;
}

#[tokio::test]
async fn streams_of_every_kind_that_are_given_up_are_cancelled_at_once() {
    let callee = Callee::start(Echo::default()).await;
    let stack = Stack::new("given_up", &[callee.address]);
    let mut client = stack.client();
    let mut list = client.list(endless("tick", 10 * MS)).await.unwrap().into_inner();
    list.message().await.unwrap();
    let mut both = client.chat(stream::iter([chat("1")]).chain(stream::pending())).await;
    both.as_mut().unwrap().get_mut().message().await.unwrap();
    let up = tokio::spawn(async move { client.collect(stream::pending()).await });
    eventually("all are worked on", || callee.echo.running() == 3).await;

    drop((list, both));
    up.abort();

    eventually("no handler runs", || callee.echo.running() == 0).await;
    eventually("nor is a place taken", || callee.in_flight("shed") == 0).await;
    let row = stack.endpoint(callee.address);
    assert_eq!((&row["breaker"], &row["failures"]), (&"CLOSED".into(), &0.into()), "no verdict");
    assert_eq!((&row["pending"], &stack.table()["bulkhead"]["calls"]), (&0.into(), &0.into()));
    callee.stop().await;
}

/// Messages of 16 KiB as fast as they are taken, and how many were.
fn flood(taken: &Arc<AtomicUsize>) -> impl Stream<Item = ChatRequest> + Send + use<> {
    let taken = Arc::clone(taken);
    stream::repeat_with(move || {
        taken.fetch_add(1, Relaxed);
        chat(&"x".repeat(16 << 10))
    })
}

/// Waits until a count does not change any more.
async fn settled(count: impl Fn() -> usize) -> usize {
    let begin = Instant::now();
    let mut seen = (0, 0);
    while seen.0 == 0 || seen.1 < 20 {
        tokio::time::sleep(10 * MS).await;
        let now = count();
        seen = if now == seen.0 { (now, seen.1 + 1) } else { (now, 0) };
        assert!(begin.elapsed() < PATIENCE, "it runs ahead: {now}");
    }
    seen.0
}

#[tokio::test]
async fn who_reads_slowly_is_not_run_ahead_of() {
    const EACH: usize = 16 << 10;
    // Windows of a stream of both sides, buffers of sockets, and what is on its way in tasks.
    const MOST: usize = (8 << 20) / EACH;
    let callee = Callee::start(Echo::default()).await;
    let mut client = Stack::new("slow_reader", &[callee.address]).client();

    let large = endless(&"x".repeat(EACH), Duration::ZERO);
    let mut list = client.list(large).await.unwrap().into_inner();
    let ahead = settled(|| callee.echo.said()).await;
    assert!(ahead < MOST, "{ahead} messages for nobody");
    for _ in 0..2 * ahead {
        list.message().await.unwrap().unwrap();
    }
    drop(list);
    eventually("it has ended", || callee.echo.running() == 0).await;

    let taken = Arc::default();
    let mut both = client.chat(flood(&taken)).await.unwrap().into_inner();
    let ahead = settled(|| taken.load(Relaxed)).await;
    assert!(ahead < 2 * MOST, "{ahead} messages for nobody");
    client.read(read("1")).await.expect("others on the connection do not notice");
    for _ in 0..2 * ahead {
        both.message().await.unwrap().unwrap();
    }
    drop(both);
    eventually("it has ended", || callee.echo.running() == 0).await;
    callee.stop().await;
}

#[tokio::test]
async fn streams_of_every_kind_have_the_drains_time_and_are_then_cancelled() {
    let drain = Duration::from_millis(300);
    let config = ServiceConfig { drain, ..config() };
    let callee =
        Callee::with(Echo::default(), values::Server::default(), config, |server| server).await;
    let echo = callee.echo.clone();
    let mut client = Stack::new("drained", &[callee.address]).client();
    let list = client.list(endless("tick", 10 * MS)).await.unwrap().into_inner();
    let says = stream::iter([chat("1")]).chain(stream::pending());
    let both = client.chat(says).await.unwrap().into_inner();
    let up = tokio::spawn(async move { client.collect(stream::pending()).await });
    eventually("all are worked on", || echo.running() == 3).await;
    let begin = Instant::now();

    callee.stop().await;

    assert!(begin.elapsed() >= drain, "they had their time");
    let up = up.await.unwrap().unwrap_err();
    for status in [end(list).await, end(both).await, up] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    assert_eq!(echo.running(), 0, "and so are their handlers");
}

#[tokio::test]
async fn a_stream_that_ends_in_the_drains_time_ends_well() {
    let callee = Callee::start(Echo::default()).await;
    let echo = callee.echo.clone();
    let mut client = Stack::new("ends_well", &[callee.address]).client();
    let (tell, told) = tokio::sync::mpsc::channel(1);
    let said = tokio_stream::wrappers::ReceiverStream::new(told);
    let mut both = client.chat(said).await.unwrap().into_inner();
    tell.send(chat("before")).await.unwrap();
    assert_eq!(both.message().await.unwrap().unwrap().text, "before");

    let stops = tokio::spawn(callee.stop());
    // A new call finds nobody: the good-bye has been said.
    while client.add(timeout_request(add("1"), DEADLINE)).await.is_ok() {}
    tell.send(chat("after")).await.unwrap();
    assert_eq!(both.message().await.unwrap().unwrap().text, "after");
    drop(tell);

    assert!(both.message().await.unwrap().is_none(), "it ends as if nothing were");
    stops.await.unwrap();
    assert_eq!(echo.running(), 0);
}

type Client = mesh_echo::EchoServiceClient<Channel>;

/// Five failed calls of a kind open the circuit.
async fn opens<F: Future<Output = Status>>(target: &'static str, call: impl Fn(Client) -> F) {
    let callee = Callee::start(Echo::new(|_| async { Err(failed(Code::Internal)) })).await;
    let stack = Stack::new(target, &[callee.address]);
    for _ in 0..5 {
        assert_eq!(stack.breaker(callee.address), "CLOSED");
        assert_eq!(call(stack.client()).await.code(), Code::Internal);
    }
    assert_eq!(stack.breaker(callee.address), "OPEN", "{target}");
    assert_eq!(callee.echo.asked(), 5, "{target}: nothing is sent again");
    callee.stop().await;
}

#[tokio::test]
async fn failed_streams_of_every_kind_open_the_circuit() {
    opens(
        "list_fails",
        |mut client| async move { client.list(endless("tick", MS)).await.unwrap_err() },
    )
    .await;
    opens("collect_fails", |mut client| async move {
        client.collect(stream::iter([collect("1")])).await.unwrap_err()
    })
    .await;
    opens(
        "chat_fails",
        |mut client| async move { client.chat(stream::pending()).await.unwrap_err() },
    )
    .await;
}
