//! One effect per event, however often it comes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use mesh_events::{Claim, ConsumerOptions, HandleError, Handler as _, take_all};
use mesh_testkit::eventually;
use uuid::Uuid;

use crate::support::{Broker, Closure, Effects, Node, SHORT_WINDOW, key};

/// B3: every event three times, shuffled across keys.
#[tokio::test(flavor = "multi_thread")]
async fn three_deliveries_of_every_event_have_one_effect() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let (keys, versions) = (5, 10);
    for round in 0..3 {
        for version in 1..=versions {
            for number in 0..keys {
                // Each round meets the keys in another order.
                let number = (number * 3 + round) % keys;
                let id = Uuid::from_u128(number * 100 + version);
                broker.publish(id, key(number), i32::try_from(version).unwrap()).await;
            }
        }
    }

    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    consumer.consume(consumer.counting("only"));

    settled(&broker, 150).await;
    let found = effects.versions().await;
    assert_eq!(found.len(), 5);
    for versions in found.values() {
        assert_eq!(versions, &(1..=10).collect::<Vec<_>>());
    }
}

/// B6: the consumer is away for longer than the broker remembers message ids.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_published_again_after_the_duplicate_window_has_no_second_effect() {
    let broker = Broker::with_stream(|config| config.duplicate_window = SHORT_WINDOW).await;
    let effects = Effects::empty().await;
    let id = Uuid::now_v7();
    let first = Node::start("effects", &effects.database, &broker.url()).await;
    first.consume(first.counting("first"));
    publish_under_its_id(&broker, id, 1).await;
    eventually("one effect", async || effects.count().await == 1).await;
    first.stop().await;

    eventually("forgotten by the broker", async || {
        publish_under_its_id(&broker, id, 1).await;
        broker.count().await == Some(2)
    })
    .await;
    let second = Node::start("effects", &effects.database, &broker.url()).await;
    second.consume(second.counting("second"));

    settled(&broker, 2).await;
    let found = effects.all().await;
    assert_eq!(found, [(key(1), 1, 1, "first".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_waits_for_what_its_handler_needs_and_other_keys_go_on() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let (attempts, away) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (tries, closed) = (Arc::clone(&attempts), Arc::clone(&away));
    let counting = Arc::new(consumer.counting("only"));
    let handler = Closure(move |event: mesh_events::Incoming, claim| {
        let counting = Arc::clone(&counting);
        let refused = event.key == key(1) && closed.load(Ordering::SeqCst);
        tries.fetch_add(usize::from(refused), Ordering::SeqCst);
        async move {
            match refused {
                true => Err(HandleError::unavailable("its neighbour is away")),
                false => counting.handle(event, claim).await,
            }
        }
        .boxed()
    });
    let limit = impatient().attempts as usize;
    consumer.consume_with(handler, impatient());
    for version in 1..=3 {
        broker.publish(Uuid::now_v7(), key(1), version).await;
        broker.publish(Uuid::now_v7(), key(2), version).await;
    }

    eventually("more attempts than the limit, and the other key", async || {
        attempts.load(Ordering::SeqCst) > 2 * limit && effects.count().await == 3
    })
    .await;
    away.store(false, Ordering::SeqCst);

    settled(&broker, 6).await;
    assert_eq!(effects.dead_letters().await, 0);
    assert_eq!(effects.versions().await[&key(2)], [1, 2, 3]);
    assert_eq!(effects.versions().await[&key(1)], [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_keeps_its_event_and_has_one_effect() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let (runs, counting) = (Arc::new(AtomicUsize::new(0)), Arc::new(consumer.counting("slow")));
    let started = Arc::clone(&runs);
    let handler = Closure(move |event: mesh_events::Incoming, claim| {
        let (started, counting) = (Arc::clone(&started), Arc::clone(&counting));
        async move {
            started.fetch_add(1, Ordering::SeqCst);
            // Three times as long as the broker waits.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            counting.handle(event, claim).await
        }
        .boxed()
    });
    let options =
        ConsumerOptions { ack_wait: Duration::from_millis(500), ..ConsumerOptions::default() };
    consumer.consume_with(handler, options);

    broker.publish(Uuid::now_v7(), key(1), 1).await;

    settled(&broker, 1).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the broker did not give it to anybody again");
    assert_eq!(effects.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_claims_is_answered_one_by_one() {
    let effects = Effects::empty().await;
    let mut tx = effects.pool.begin().await.unwrap();
    let claim = |number| Claim::new("things", Uuid::from_u128(number));
    assert!(claim(2).take(&mut tx).await.unwrap());

    let taken = take_all(&mut tx, &[claim(3), claim(2), claim(1), claim(3)]).await.unwrap();

    assert_eq!(taken, [true, false, true, false]);
    assert_eq!(take_all(&mut tx, &[]).await.unwrap(), [false; 0]);
}

/// Few attempts, short pauses.
pub fn impatient() -> ConsumerOptions {
    ConsumerOptions {
        attempts: 3,
        retry_pause: (Duration::from_millis(5), Duration::from_millis(20)),
        ..ConsumerOptions::default()
    }
}

/// Waits until the consumer has acknowledged everything up to `sequence`.
pub async fn settled(broker: &Broker, sequence: u64) {
    eventually("everything acknowledged", async || {
        broker.consumer("effects").await.is_some_and(|info| {
            info.ack_floor.stream_sequence >= sequence && info.num_ack_pending == 0
        })
    })
    .await;
}

async fn publish_under_its_id(broker: &Broker, id: Uuid, version: i32) {
    use prost::Message as _;
    let mut headers = crate::support::headers(id, key(1), version);
    headers.insert("Nats-Msg-Id", id.to_string());
    let body = crate::support::Counted { number: version }.encode_to_vec();
    broker.publish_raw(headers, body).await;
}
