//! One replica at a time, and the order of every key, whoever is at work.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use mesh_events::{Handler, Incoming};
use mesh_testkit::eventually;
use uuid::Uuid;

use crate::{
    consumer::settled,
    support::{Broker, Closure, Effects, Node, Proxy, key},
};

const KEYS: u128 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_takes_over_keeps_the_order_of_every_key() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let first = Node::start("effects", &effects.database, &broker.url()).await;
    first.consume(getting_stuck(&first, "first"));
    publish(&broker, 1..=30).await;
    // Some keys are done, others stopped half way, with events in hand.
    let before = 3 * 10 + 4 * 30;
    eventually("all that is possible", async || effects.count().await == before).await;
    let second = Node::start("effects", &effects.database, &broker.url()).await;
    second.consume(unsteady(&second, "second"));

    first.kill();
    publish(&broker, 31..=40).await;

    settled(&broker, 40 * KEYS as u64).await;
    in_order(&effects, 40).await;
    let nodes: HashSet<_> = effects.all().await.into_iter().map(|effect| effect.3).collect();
    assert_eq!(nodes.len(), 2, "both had effects");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_consumes() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let first = Node::start("effects", &effects.database, &broker.url()).await;
    first.consume(first.counting("first"));
    publish(&broker, 1..=1).await;
    eventually("effects", async || effects.count().await == KEYS as i64).await;
    let second = Node::start("effects", &effects.database, &broker.url()).await;
    second.consume(second.counting("second"));

    publish(&broker, 2..=20).await;

    settled(&broker, 20 * KEYS as u64).await;
    let nodes: Vec<_> = effects.all().await.into_iter().map(|effect| effect.3).collect();
    assert!(nodes.iter().all(|node| node == "first"), "{nodes:?}");
    first.stop().await;
    publish(&broker, 21..=21).await;
    settled(&broker, 21 * KEYS as u64).await;
    in_order(&effects, 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_is_cut_again_and_again_keeps_the_order_of_every_key() {
    let broker = Broker::start().await;
    let wire = Proxy::to(&broker.url()).await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, wire.url()).await;
    consumer.consume(unsteady(&consumer, "only"));

    for round in 0..4 {
        publish(&broker, round * 10 + 1..=round * 10 + 10).await;
        let goal = i64::from(round) * 10 * KEYS as i64;
        eventually("effects", async || effects.count().await > goal).await;
        wire.cut();
    }

    settled(&broker, 40 * KEYS as u64).await;
    in_order(&effects, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_key_run_one_at_a_time_and_those_of_others_beside_them() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    publish(&broker, 1..=5).await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let counting = Arc::new(consumer.counting("only"));
    let busy: Arc<Vec<AtomicBool>> = Arc::new((0..KEYS).map(|_| AtomicBool::new(false)).collect());
    let overlaps = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (lanes, clashes, peak) = (Arc::clone(&busy), Arc::clone(&overlaps), Arc::clone(&most));
    let handler = Closure(move |event: Incoming, claim| {
        let (counting, lanes) = (Arc::clone(&counting), Arc::clone(&lanes));
        let (clashes, peak) = (Arc::clone(&clashes), Arc::clone(&peak));
        async move {
            let lane = &lanes[usize::try_from(event.key.as_u128()).unwrap()];
            if lane.swap(true, Ordering::SeqCst) {
                clashes.fetch_add(1, Ordering::SeqCst);
            }
            let running = lanes.iter().filter(|lane| lane.load(Ordering::SeqCst)).count();
            peak.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            let done = counting.handle(event, claim).await;
            lane.store(false, Ordering::SeqCst);
            done
        }
        .boxed()
    });

    consumer.consume(handler);

    settled(&broker, 5 * KEYS as u64).await;
    assert_eq!(overlaps.load(Ordering::SeqCst), 0);
    assert!(most.load(Ordering::SeqCst) > 1, "keys are handled beside each other");
    in_order(&effects, 5).await;
}

/// A handler that never comes back from version 11 of three of the keys.
fn getting_stuck(node: &Node, tag: &'static str) -> impl Handler + use<> {
    let counting = Arc::new(node.counting(tag));
    Closure(move |event: Incoming, claim| {
        let counting = Arc::clone(&counting);
        async move {
            if event.key.as_u128() < 3 && event.version == 11 {
                std::future::pending::<()>().await;
            }
            counting.handle(event, claim).await
        }
        .boxed()
    })
}

/// A handler whose effects take differently long.
fn unsteady(node: &Node, tag: &'static str) -> impl Handler + use<> {
    let counting = Arc::new(node.counting(tag));
    Closure(move |event: Incoming, claim| {
        let counting = Arc::clone(&counting);
        async move {
            let pause = (event.key.as_u128() as u64 * 3 + event.version.unsigned_abs() as u64) % 7;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            counting.handle(event, claim).await
        }
        .boxed()
    })
}

async fn publish(broker: &Broker, versions: impl IntoIterator<Item = i32>) {
    for version in versions {
        for number in 0..KEYS {
            broker.publish(Uuid::now_v7(), key(number), version).await;
        }
    }
}

async fn in_order(effects: &Effects, last: i32) {
    let found = effects.versions().await;
    assert_eq!(found.len() as u128, KEYS);
    for (key, versions) in found {
        assert_eq!(versions, (1..=last).collect::<Vec<_>>(), "{key}");
    }
}
