//! What failures behind it cost a callee, and how many reach callers.

use std::sync::Mutex;

use mesh_echo::Echo;
use mesh_rpc::Code;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    hop::Hop,
    load::{Calls, Load},
    support::{Callee, Stack, alone, failed, read},
};

const FOUR_ATTEMPTS: &str = "
    [methods.'echo.v1.EchoService/Read'.retry]
    attempts = 4
    first_backoff = '1ms'
    max_backoff = '10ms'
";
/// Nothing but the budget holds attempts back; for fewer than a thousand failures.
const NO_BREAKER: &str = "
    [targets.'*'.breaker]
    consecutive = 1000
    min_success = 0.0
";

/// Calls through two hops to a leaf that is down; returns how often it was asked.
async fn outage(overlay: &str, calls: usize) -> usize {
    let _alone = alone().await;
    let overlay = format!("{FOUR_ATTEMPTS}{overlay}");
    let down = Echo::new(|_| async { Err(failed(Code::Unavailable)) });
    let leaf = Callee::start(down).await;
    let to_leaf = Stack::set("leaf", &[leaf.address], &overlay);
    let middle = Callee::start(Hop::to(&to_leaf)).await;
    let to_middle = Stack::set("middle", &[middle.address], &overlay);
    let outer = Callee::start(Hop::to(&to_middle)).await;
    let to_outer = Stack::set("outer", &[outer.address], &overlay);

    for _ in 0..calls {
        let status = to_outer.client().read(read("1")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }

    let asked = leaf.echo.asked();
    outer.stop().await;
    middle.stop().await;
    leaf.stop().await;
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_that_is_down_is_asked_hardly_more_often_than_callers_ask() {
    const CALLS: usize = 900;

    let asked = outage(NO_BREAKER, CALLS).await;

    assert!((CALLS..=CALLS * 11 / 10).contains(&asked), "{asked} for {CALLS}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_breakers_a_leaf_that_is_down_is_hardly_asked() {
    const CALLS: usize = 900;

    let asked = outage("", CALLS).await;

    assert!((5..CALLS / 10).contains(&asked), "{asked} for {CALLS}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_percent_of_random_failures_hardly_reach_callers() {
    const CALLS: usize = 10_000;
    let _alone = alone().await;
    let mut callees = Vec::new();
    for seed in 0..3 {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let flaky = Echo::new(move |asked| {
            let fails = random.lock().unwrap().random_bool(0.1);
            async move { if fails { Err(failed(Code::Unavailable)) } else { Ok(asked.text) } }
        });
        callees.push(Callee::start(flaky).await);
    }
    let addresses: Vec<_> = callees.iter().map(|callee| callee.address).collect();
    let stack = Stack::set("flaky", &addresses, FOUR_ATTEMPTS);
    let load = Load::begin(&stack, 16, Calls::Reads);

    let mut answered = 0;
    let mut residual = 0;
    while answered < CALLS {
        let tally = load.lasts(std::time::Duration::from_millis(100)).await;
        answered += tally.answered;
        residual += tally.failed.len();
    }
    let rest = load.ends().await;
    answered += rest.answered;
    residual += rest.failed.len();

    assert!(residual * 1000 <= answered, "{residual} of {answered}");
    let asked: usize = callees.iter().map(|callee| callee.echo.asked()).sum();
    let amplification = asked as f64 / (answered + residual) as f64;
    assert!((1.05..=1.13).contains(&amplification), "{amplification}");
    for callee in callees {
        callee.stop().await;
    }
}
