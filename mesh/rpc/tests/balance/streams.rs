//! Streams: pending until they end, well with their first message, and counted by their last word.

use std::time::Duration;

use http_body_util::BodyExt as _;
use mesh_policy::values;
use mesh_rpc::{
    Code,
    balance::{Circuit, State, Tried},
};
use tokio::time::Instant;

use crate::support::{Net, Plan, World, call, request};

fn stream(messages: usize, code: Code) -> Plan {
    let pause = Duration::from_millis(100);
    Plan { messages, code, pause, ..Plan::fine(1) }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_pending_until_its_body_ends_or_is_dropped() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(stream(3, Code::Ok));
    let pick = world.balancer.pick(&Tried::default(), None).await.unwrap();
    assert_eq!(world.row(0).pending, 1, "picked");
    let mut body = pick.send(request()).await.unwrap().into_body();
    for _ in 0..3 {
        body.frame().await.unwrap().unwrap();
        assert_eq!((world.row(0).pending, world.row(0).calls), (1, 0));
    }

    body.frame().await.unwrap().unwrap();
    assert_eq!((world.row(0).pending, world.row(0).calls), (0, 1), "trailers");
    drop(body);
    assert_eq!((world.row(0).pending, world.row(0).calls), (0, 1), "once");

    let pick = world.balancer.pick(&Tried::default(), None).await.unwrap();
    let body = pick.send(request()).await.unwrap().into_body();
    assert_eq!(world.row(0).pending, 1);
    drop(body);
    assert_eq!(world.row(0).pending, 0, "dropped");
    drop(world.balancer.pick(&Tried::default(), None).await.unwrap());
    assert_eq!((world.row(0).pending, world.row(0).calls), (0, 2), "never sent");
}

#[tokio::test(start_paused = true)]
async fn a_streams_end_counts_as_a_failure_but_opens_nothing() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(stream(2, Code::Unavailable));

    for _ in 0..10 {
        call(&world.balancer).await.unwrap_err();
    }

    let row = world.row(0);
    assert_eq!((row.breaker, row.calls, row.failures), (Circuit::Closed, 10, 10));
    assert!(row.rtt_ms < 10.0, "the first message is the round trip: {row:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_before_its_first_message_opens_the_breaker() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(stream(0, Code::Unavailable));

    for _ in 0..5 {
        call(&world.balancer).await.unwrap_err();
    }

    assert_eq!(world.row(0).state, State::Gated);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_says_nothing_unless_it_took_long() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fine(1));
    call(&world.balancer).await.unwrap();
    let before = world.row(0).rtt_ms;
    world.peers[0].does(Plan::fine(60_000));

    for _ in 0..20 {
        let pick = world.balancer.pick(&Tried::default(), None).await.unwrap();
        let sent = tokio::time::timeout(Duration::from_micros(500), pick.send(request()));
        sent.await.expect_err("too slow");
    }
    let row = world.row(0);
    assert_eq!((row.breaker, row.failures, row.pending), (Circuit::Closed, 0, 0));
    assert!(row.rtt_ms <= before.max(2.1), "sooner than any answer: {row:?}");

    let pick = world.balancer.pick(&Tried::default(), None).await.unwrap();
    let sent = tokio::time::timeout(Duration::from_millis(300), pick.send(request()));
    sent.await.expect_err("too slow");
    let row = world.row(0);
    assert!(row.rtt_ms >= 300.0, "longer than any answer: {row:?}");
    assert_eq!((row.breaker, row.failures), (Circuit::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_a_stream_decides_with_its_first_message() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fails(1, Code::Unavailable));
    for _ in 0..5 {
        call(&world.balancer).await.unwrap_err();
    }
    world.row_is(0, |row| row.breaker == Circuit::HalfOpen).await;
    world.peers[0].does(stream(100, Code::Unavailable));
    let begin = Instant::now();

    let pick = world.balancer.pick(&Tried::default(), None).await.unwrap();
    let mut body = pick.send(request()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();

    assert_eq!(world.row(0).breaker, Circuit::Closed);
    assert!(begin.elapsed() < Duration::from_millis(50));
}
