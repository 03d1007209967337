//! Endpoints that are dead, die, are slow, or fail fast.

use std::time::Duration;

use mesh_echo::Relay;
use mesh_rpc::{Code, Disposition, disposition};

use crate::{
    load::{Calls, Load},
    support::{Callee, Knob, MS, Stack, alone, eventually, nobody},
};

const CALLERS: usize = 8;
const SECOND: Duration = Duration::from_secs(1);

fn fine(delay: Duration) -> Knob {
    Knob::new(delay, Code::Ok)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_dead_from_the_start_costs_no_call() {
    let _alone = alone().await;
    let (_nobody, nobody) = nobody();
    let first = Callee::start(fine(MS).echo()).await;
    let third = Callee::start(fine(MS).echo()).await;
    let stack = Stack::new("one_dead", &[first.address, nobody, third.address]);

    let load = Load::begin(&stack, CALLERS, Calls::Both);
    load.reaches(1_000).await;
    let tally = load.ends().await;

    assert!(tally.failed.is_empty() && tally.uncertain.is_empty(), "{tally:?}");
    assert_eq!(first.echo.asked() + third.echo.asked(), tally.answered, "none was sent twice");
    eventually("its circuit is open", || stack.breaker(nobody) == "OPEN").await;
    first.stop().await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_dies_costs_what_it_had_in_hand_and_then_nothing() {
    let _alone = alone().await;
    let mut callees = Vec::new();
    for _ in 0..3 {
        callees.push(Callee::start(fine(5 * MS).echo()).await);
    }
    let mut relay = Relay::start(callees[0].address).await.unwrap();
    let addresses = [relay.address, callees[1].address, callees[2].address];
    let stack = Stack::new("one_dies", &addresses);
    stack.connected().await;
    let load = Load::begin(&stack, CALLERS, Calls::Both);
    load.reaches(1_000).await;
    assert!(callees[0].echo.asked() > 100, "it has its share");

    relay.cut().await;
    load.reaches(2_000).await;
    let tally = load.so_far();
    assert!(tally.failed.is_empty(), "{tally:?}");
    let lost = &tally.uncertain;
    assert!(lost.len() * 100 < tally.calls(), "{lost:?}");
    assert!(lost.iter().all(|it| disposition(it) == Disposition::MaybeProcessed), "{lost:?}");

    load.reaches(1_000).await;
    let tally = load.so_far();
    assert!(tally.failed.is_empty() && tally.uncertain.is_empty(), "then none: {tally:?}");

    relay.mend().await.unwrap();
    let before = callees[0].echo.asked();
    eventually("it is back", || callees[0].echo.asked() > before + 10).await;
    let tally = load.ends().await;
    assert!(tally.failed.is_empty() && tally.uncertain.is_empty(), "nor then: {tally:?}");
    for callee in callees {
        callee.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_a_hundred_times_slower_gets_less_than_a_twentieth() {
    let _alone = alone().await;
    let fast =
        [Callee::start(fine(10 * MS).echo()).await, Callee::start(fine(10 * MS).echo()).await];
    let slow = Callee::start(fine(SECOND).echo()).await;
    let stack = Stack::new("one_slow", &[fast[0].address, fast[1].address, slow.address]);
    stack.connected().await;

    let load = Load::begin(&stack, CALLERS, Calls::Both);
    let mut tally = load.lasts(7 * SECOND).await;
    let rest = load.ends().await;
    tally.answered += rest.answered;

    assert!(tally.failed.is_empty() && rest.failed.is_empty(), "{tally:?} {rest:?}");
    let asked = slow.echo.asked();
    assert!(asked * 20 < tally.answered, "{asked} of {}", tally.answered);
    assert!(asked > 0, "it is asked now and then");
    for callee in fast {
        callee.stop().await;
    }
    slow.stop().await;
}

/// Real time passes here.
const SOON: &str = "
    [targets.one_fails]
    breaker = { max_open = '2s' }
    balance = { slow_start = '1s' }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_fast_is_ejected_and_returns_when_healed() {
    let _alone = alone().await;
    let mut good = Vec::new();
    for _ in 0..3 {
        good.push(Callee::start(fine(20 * MS).echo()).await);
    }
    let knob = Knob::new(MS, Code::Internal);
    let bad = Callee::start(knob.echo()).await;
    let mut addresses: Vec<_> = good.iter().map(|callee| callee.address).collect();
    addresses.push(bad.address);
    let stack = Stack::set("one_fails", &addresses, SOON);
    stack.connected().await;
    let load = Load::begin(&stack, CALLERS, Calls::Adds);

    load.lasts(5 * SECOND).await;
    let before = bad.echo.asked();
    let tally = load.lasts(5 * SECOND).await;
    let reached = bad.echo.asked() - before;
    assert!(reached * 50 < tally.calls(), "{reached} of {}", tally.calls());
    assert!(tally.failed.is_empty(), "{tally:?}");
    let row = stack.endpoint(bad.address);
    assert!(row["state"] == "GATED" && row["breaker"] != "CLOSED", "{row}");

    knob.set(20 * MS, Code::Ok);
    eventually("it is back", || stack.endpoint(bad.address)["state"] == "READY").await;
    load.lasts(2 * SECOND).await;
    let before = bad.echo.asked();
    let tally = load.lasts(2 * SECOND).await;
    let reached = bad.echo.asked() - before;
    assert!(tally.failed.is_empty() && tally.uncertain.is_empty(), "{tally:?}");
    assert!(reached * 8 > tally.calls(), "its share is back: {reached} of {}", tally.calls());
    load.ends().await;
    bad.stop().await;
    for callee in good {
        callee.stop().await;
    }
}
