//! Endpoints that are dead, die, are slow, or fail fast: in memory on a paused clock, and over
//! sockets.

use std::time::Duration;

use mesh_policy::values;
use mesh_rpc::{
    Code,
    balance::{Circuit, State},
};

use crate::support::{Net, Plan, World};

const CALLERS: usize = 8;

#[tokio::test(start_paused = true)]
async fn one_of_three_dead_from_the_start_costs_no_call() {
    dead_from_the_start(Net::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_dead_from_the_start_costs_no_call_over_sockets() {
    dead_from_the_start(Net::Sockets).await;
}

async fn dead_from_the_start(net: Net) {
    let values = values::Target::default();
    let world = World::prepared(net, 3, values, |peers| peers[1].dies()).await;

    let (failed, calls) = world.calls_for(CALLERS, Duration::from_secs(3)).await;

    assert!(failed.is_empty(), "{failed:?}");
    assert!(calls > 300, "{calls}");
    let row = world.row_is(1, |row| row.breaker == Circuit::Open).await;
    assert!(row.reason.contains("refused"), "{row:?}");
}

#[tokio::test(start_paused = true)]
async fn one_of_three_that_dies_costs_what_it_had_in_hand() {
    dies(Net::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_dies_costs_what_it_had_in_hand_over_sockets() {
    dies(Net::Sockets).await;
}

async fn dies(net: Net) {
    let world = World::new(net, 3, values::Target::default()).await;
    let (failed, before) = world.calls_for(CALLERS, Duration::from_secs(2)).await;
    assert!(failed.is_empty(), "{failed:?}");

    let under_way = world.calls_for(CALLERS, Duration::from_secs(2));
    let death = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.peers[0].dies();
    };
    let ((failed, calls), ()) = tokio::join!(under_way, death);
    assert!(failed.iter().all(|code| *code == Code::Unavailable), "{failed:?}");
    assert!(failed.len() * 100 < before + calls, "{} of {}", failed.len(), before + calls);

    let (failed, _) = world.calls_for(CALLERS, Duration::from_secs(2)).await;
    assert!(failed.is_empty(), "then none: {failed:?}");
    world.peers[0].rises().await;
    world.row_is(0, |row| row.state == State::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn one_a_hundred_times_slower_gets_less_than_a_twentieth() {
    slow(Net::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_a_hundred_times_slower_gets_less_than_a_twentieth_over_sockets() {
    slow(Net::Sockets).await;
}

async fn slow(net: Net) {
    let millis = 10;
    let world = World::prepared(net, 3, values::Target::default(), |peers| {
        peers.iter().for_each(|peer| peer.does(Plan::fine(millis)));
        peers[2].does(Plan::fine(100 * millis));
    })
    .await;

    let (failed, calls) = world.calls_for(8, Duration::from_secs(8)).await;

    let slow = world.peers[2].hits();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(slow * 20 < calls, "{slow} of {calls}");
    assert!(slow > 0, "it is asked now and then");
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_fast_is_ejected_and_returns_when_healed() {
    fails_fast(Net::Memory, values::Target::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_fast_is_ejected_and_returns_when_healed_over_sockets() {
    let mut values = values::Target::default();
    // Real time passes here.
    values.breaker.max_open = Duration::from_secs(2);
    values.balance.slow_start = Duration::from_secs(1);
    fails_fast(Net::Sockets, values).await;
}

async fn fails_fast(net: Net, values: values::Target) {
    let world = World::prepared(net, 4, values, |peers| {
        peers.iter().for_each(|peer| peer.does(Plan::fine(20)));
        peers[3].does(Plan::fails(1, Code::Internal));
    })
    .await;

    world.calls_for(CALLERS, Duration::from_secs(5)).await;
    let before = world.peers[3].hits();
    let (failed, calls) = world.calls_for(CALLERS, Duration::from_secs(5)).await;
    let reached = world.peers[3].hits() - before;
    assert!(reached * 50 < calls, "{reached} of {calls}");
    assert_eq!(failed.len(), reached);
    let row = world.row(3);
    assert!(row.state == State::Gated && row.breaker != Circuit::Closed, "{row:?}");

    world.peers[3].does(Plan::fine(20));
    let returns = world.row_is(3, |row| row.state == State::Ready);
    let (_, (failed, _)) = tokio::join!(
        returns,
        world.calls_for(CALLERS, values.breaker.max_open.min(Duration::from_secs(10)) * 2)
    );
    assert!(failed.is_empty(), "{failed:?}");
    let before = world.hits();
    world.calls_for(CALLERS, values.balance.slow_start + Duration::from_secs(1)).await;
    let after = world.hits();
    let counts: Vec<_> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let total: usize = counts.iter().sum();
    assert!(counts[3] * 8 > total, "its share is back: {counts:?}");
}

#[tokio::test(start_paused = true)]
async fn equals_get_equal_shares() {
    let world = World::new(Net::Memory, 4, values::Target::default()).await;

    let (failed, calls) = world.calls_for(CALLERS, Duration::from_secs(3)).await;

    assert!(failed.is_empty());
    let hits = world.hits();
    assert!(hits.iter().all(|hits| hits * 5 > calls), "{hits:?} of {calls}");
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_gets_its_share_slowly() {
    let world = World::new(Net::Memory, 3, values::Target::default()).await;
    world.peers.iter().for_each(|peer| peer.does(Plan::fine(40)));
    let all = world.addresses.borrow().clone();
    world.addresses.send_replace(all[..2].into());
    world.calls_for(CALLERS, Duration::from_secs(12)).await;
    let old = world.peers[2].hits();

    world.addresses.send_replace(all);
    let (_, first) = world.calls_for(CALLERS, Duration::from_secs(1)).await;
    let at_first = world.peers[2].hits() - old;
    world.calls_for(CALLERS, Duration::from_secs(12)).await;
    let old = world.peers[2].hits();
    let (_, later) = world.calls_for(CALLERS, Duration::from_secs(1)).await;
    let at_last = world.peers[2].hits() - old;

    assert!(at_first > 0 && at_first * 5 < first, "{at_first} of {first}");
    assert!(at_last * 4 > later, "{at_last} of {later}");
}

#[tokio::test(start_paused = true)]
async fn one_worse_than_the_others_is_an_outlier() {
    let world = World::prepared(Net::Memory, 3, values::Target::default(), |peers| {
        peers.iter().for_each(|peer| peer.does(Plan::fine(20)));
        // Too good for its own breaker.
        peers[0].does(Plan { every: 4, ..Plan::fails(20, Code::Internal) });
    })
    .await;
    // Penalised, it would not get enough calls to be judged by.
    let mut values = values::Target::default();
    values.balance.penalty = Duration::ZERO;
    world.balancer.configure(values);

    world.calls_for(CALLERS, Duration::from_millis(10_100)).await;

    let row = world.row(0);
    assert_eq!((row.state, row.reason.as_str()), (State::Gated, "outlier"), "{row:?}");
}

#[tokio::test(start_paused = true)]
async fn at_most_half_of_the_endpoints_are_taken_out() {
    let world = World::prepared(Net::Memory, 4, values::Target::default(), |peers| {
        peers.iter().for_each(|peer| peer.does(Plan::fails(1, Code::Unavailable)));
    })
    .await;

    for _ in 0..20 {
        world.calls_for(CALLERS, Duration::from_millis(100)).await;
        let rows = world.balancer.table();
        let out = rows.iter().filter(|row| row.state == State::Gated).count();
        assert!(out <= 2, "{rows:?}");
    }
    let before: usize = world.hits().iter().sum();
    let (_, calls) = world.calls_for(1, Duration::from_millis(100)).await;
    assert_eq!(world.hits().iter().sum::<usize>() - before, calls, "calls still pass");
}
