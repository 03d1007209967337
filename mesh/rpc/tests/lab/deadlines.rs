//! A call ends at its deadline wherever it is, and as what it is: never as CANCELLED.

use std::time::Duration;

use mesh_echo::{Echo, Relay};
use mesh_policy::values;
use mesh_rpc::{Code, Disposition, disposition, timeout_request};
use tokio::time::Instant;
use tonic::{Request, Status};

use crate::{
    hop::Hop,
    support::{Callee, MS, Stack, add, alone, endless, eventually, read, stuck},
};

const DEADLINE: Duration = Duration::from_millis(100);
const TOLERANCE: Duration = Duration::from_millis(20);
/// A busy machine is late for everything; it is not always.
const TRIES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_stream_ends_at_its_deadline_on_each_of_three_hops() {
    let _alone = alone().await;
    let leaf = Callee::start(Echo::default()).await;
    let middle = Callee::start(Hop::to(&Stack::new("slow_leaf", &[leaf.address]))).await;
    let outer = Callee::start(Hop::to(&Stack::new("slow_middle", &[middle.address]))).await;
    let mut client = Stack::new("slow_outer", &[outer.address]).client();
    client.read(read("connected")).await.unwrap();
    let running = || outer.echo.running.count() + middle.echo.running.count() + leaf.echo.running();

    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let begin = Instant::now();
        let ticks = client.list(timeout_request(endless("tick", 10 * MS), DEADLINE)).await;
        let mut ticks = ticks.unwrap().into_inner();
        let mut most = 0;
        let ended = loop {
            match ticks.message().await {
                Ok(tick) => assert!(tick.is_some(), "no end without a word"),
                Err(status) => break status,
            }
            most = most.max(running());
        };
        let caller = begin.elapsed();
        assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
        assert!(caller + TOLERANCE >= DEADLINE, "{caller:?}");
        eventually("no handler runs", || running() == 0).await;
        let callee = begin.elapsed();
        seen.push((caller, callee, most));
        if callee <= DEADLINE + TOLERANCE && most == 3 {
            break;
        }
    }
    assert!(seen.last().is_some_and(|last| last.1 <= DEADLINE + TOLERANCE), "{seen:?}");
    outer.stop().await;
    middle.stop().await;
    leaf.stop().await;
}

/// Calls with a short deadline until one ends in time; returns how it did.
async fn late(stack: &Stack) -> Status {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let begin = Instant::now();
        let status =
            stack.client().read(timeout_request(read("late"), DEADLINE)).await.unwrap_err();
        took.push(begin.elapsed());
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert!(begin.elapsed() + TOLERANCE >= DEADLINE, "{took:?}");
        if begin.elapsed() <= DEADLINE + TOLERANCE {
            return status;
        }
    }
    panic!("{took:?}");
}

/// Begins a call that never ends.
fn occupy(stack: &Stack) -> tokio::task::JoinHandle<()> {
    let mut client = stack.client();
    tokio::spawn(async move {
        let mut request = Request::new(add("stays"));
        request.set_timeout(Duration::from_secs(60));
        client.add(request).await.unwrap_err();
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_spent_in_the_servers_queue_is_exceeded_in_time() {
    let values = values::Server {
        bulkhead: values::Bulkhead { calls: 1, queue: 10 },
        ..values::Server::default()
    };
    let callee = Callee::set(stuck(), values).await;
    let stack = Stack::new("queued", &[callee.address]);
    let stays = occupy(&stack);
    eventually("it is worked on", || callee.echo.asked() == 1).await;

    late(&stack).await;

    assert_eq!(callee.echo.asked(), 1, "it was never worked on");
    eventually("its place in the queue is free", || {
        callee.limits.table().iter().all(|row| row.queued == 0)
    })
    .await;
    stays.abort();
    callee.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_spent_without_endpoints_is_exceeded_in_time() {
    let stack = Stack::new("none", &[]);

    let status = late(&stack).await;

    assert_eq!(disposition(&status), Disposition::NotSent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_spent_connecting_is_exceeded_in_time() {
    let callee = Callee::start(Echo::default()).await;
    let relay = Relay::start(callee.address).await.unwrap();
    relay.falls_silent();

    let status = late(&Stack::new("silent", &[relay.address])).await;

    assert_eq!(disposition(&status), Disposition::NotSent);
    assert_eq!(callee.echo.asked(), 0);
    callee.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_spent_in_a_bulkhead_is_exceeded_in_time() {
    let callee = Callee::start(stuck()).await;
    let full = "[targets.full]\nbulkhead = { calls = 1, queue = 10 }";
    let stack = Stack::set("full", &[callee.address], full);
    let stays = occupy(&stack);
    eventually("it is worked on", || callee.echo.asked() == 1).await;

    let status = late(&stack).await;

    assert_eq!(disposition(&status), Disposition::NotSent);
    assert_eq!(callee.echo.asked(), 1);
    assert_eq!(stack.table()["bulkhead"]["waiting"], 0, "nothing of it is left");
    stays.abort();
    callee.stop().await;
}
