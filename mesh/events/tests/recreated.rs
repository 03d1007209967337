//! What happens when the broker has lost what it had acknowledged.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use mesh_testkit::{Database, eventually};

use crate::consumer::settled;
use crate::support::{
    Broker, Closure, Effects, Node, Proxy, SUBJECTS, copy_directory, counted, key, migrations,
};

/// Longer than a replica takes to start.
const WINDOW: Duration = Duration::from_secs(4);

/// B8: an operator deletes the stream and makes it again, while everything runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_and_made_anew_is_filled_again_with_one_effect_each() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let effects = Effects::empty().await;
    let publisher = Node::start("things", &things, &broker.url()).await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    publisher.relay();
    consumer.consume(consumer.counting("only"));
    publisher.record(counted(key(1), 1..=30)).await;
    eventually("thirty effects", async || effects.count().await == 30).await;

    broker.nats.jetstream().delete_stream("things").await.unwrap();
    mesh_events::ensure_stream(&broker.nats, "things", SUBJECTS, 1).await.unwrap();

    // Nobody records anything: the relay has to notice by itself.
    eventually("filled again", async || broker.count().await == Some(30)).await;
    publisher.record(counted(key(1), 31..=35)).await;
    eventually("five more effects", async || effects.count().await >= 35).await;
    eventually("everything acknowledged", async || {
        broker.consumer("effects").await.is_some_and(|info| info.ack_floor.stream_sequence == 35)
    })
    .await;
    assert_eq!(effects.versions().await[&key(1)], (1..=35).collect::<Vec<_>>());
}

/// B8: what the stream would have dropped by now is not published again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_is_filled_from_the_oldest_event_that_it_may_hold() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let publisher = Node::start("things", &things, &broker.url()).await;
    publisher.relay();
    publisher.record(counted(key(1), 1..=30)).await;
    eventually("thirty events", async || broker.count().await == Some(30)).await;
    let pool = things.pool().await;
    // Rolled back transactions leave holes; the search must not fall into one.
    let aged = "UPDATE log SET at = now() - interval '32 days' WHERE version <= 13";
    sqlx::query(aged).execute(&pool).await.unwrap();
    sqlx::query("DELETE FROM log WHERE version IN (6, 7, 15, 16)").execute(&pool).await.unwrap();
    eventually("a note", async || {
        let note = "SELECT coalesce(max(log_position), 0) FROM relay_notes";
        sqlx::query_scalar::<_, i64>(note).fetch_one(&pool).await.unwrap() >= 30
    })
    .await;

    broker.nats.jetstream().delete_stream("things").await.unwrap();
    mesh_events::ensure_stream(&broker.nats, "things", SUBJECTS, 1).await.unwrap();

    eventually("what is young", async || broker.count().await == Some(15)).await;
    let versions: Vec<_> = broker.events().await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, [14].into_iter().chain(17..=30).collect::<Vec<_>>());
}

/// B8: the disk of the broker is an older one, behind what it had acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restored_from_an_older_copy_of_its_disk_is_brought_up_to_date() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let effects = Effects::empty().await;
    let wire = Proxy::to(&broker.url()).await;
    let publisher = Node::start("things", &things, wire.url()).await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    publisher.relay();
    consumer.consume(consumer.counting("only"));
    publisher.record(counted(key(1), 1..=10)).await;
    eventually("ten effects", async || effects.count().await == 10).await;
    broker.server.down().await;
    let data = broker.server.data();
    let copy = data.with_file_name("older");
    copy_directory(&data, &copy);
    broker.server.up().await;
    publisher.record(counted(key(1), 11..=40)).await;
    eventually("forty effects", async || effects.count().await == 40).await;

    wire.close();
    broker.server.down().await;
    std::fs::remove_dir_all(&data).unwrap();
    copy_directory(&copy, &data);
    broker.server.up().await;
    eventually("the older copy", async || broker.count().await == Some(10)).await;
    wire.open();
    publisher.record(counted(key(1), 41..=45)).await;

    eventually("the rest", async || effects.count().await >= 45).await;
    eventually("the stream", async || broker.count().await == Some(45)).await;
    assert_eq!(effects.versions().await[&key(1)], (1..=45).collect::<Vec<_>>());
    let versions: Vec<_> = broker.events().await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, (1..=45).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_taken_for_a_duplicate_of_one_that_is_gone_is_published_after_the_window() {
    let broker = Broker::with_stream(|config| config.duplicate_window = WINDOW).await;
    let things = Database::empty("things", migrations()).await;
    let publisher = Node::start("things", &things, &broker.url()).await;
    publisher.record(counted(key(1), 1..=4)).await;
    publisher.relay();
    eventually("four", async || broker.count().await == Some(4)).await;
    let stored = Instant::now();
    publisher.kill();
    broker.stream().await.delete_message(4).await.unwrap();

    let successor = Node::start("things", &things, &broker.url()).await;
    successor.relay();
    successor.record(counted(key(1), 5..=5)).await;

    eventually("both", async || broker.count().await >= Some(5)).await;
    let versions: Vec<_> = broker.events().await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    assert!(stored.elapsed() >= WINDOW, "the broker was not asked before it had forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_deleted_is_made_anew_and_repeats_no_effect() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    consumer.consume(consumer.counting("only"));
    for version in 1..=5 {
        broker.publish(uuid::Uuid::now_v7(), key(1), version).await;
    }
    eventually("five effects", async || effects.count().await == 5).await;

    broker.stream().await.delete_consumer("effects").await.unwrap();
    broker.publish(uuid::Uuid::now_v7(), key(1), 6).await;

    settled(&broker, 6).await;
    assert_eq!(effects.versions().await[&key(1)], [1, 2, 3, 4, 5, 6]);
    let info = broker.consumer("effects").await.unwrap();
    assert_eq!(info.delivered.consumer_sequence, 6, "everything was delivered again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_ahead_of_its_stream_is_made_anew() {
    let (broker, effects) = delivered_and_lost().await;
    let first = broker.consumer("effects").await.unwrap();
    broker.publish(uuid::Uuid::now_v7(), key(2), 1).await;

    let successor = Node::start("effects", &effects.database, &broker.url()).await;
    successor.consume(successor.counting("only"));

    eventually("the new effect", async || effects.count().await >= 1).await;
    assert_eq!(first.delivered.stream_sequence, 5, "ahead of its stream");
    let again = broker.consumer("effects").await.unwrap();
    assert_ne!(first.created, again.created, "the consumer was made anew");
    assert_eq!(effects.versions().await[&key(2)], [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_but_not_applied_before_a_loss_is_applied_after_the_refill() {
    let (broker, effects) = delivered_and_lost().await;
    for version in 1..=7 {
        broker.publish(uuid::Uuid::now_v7(), key(1), version).await;
    }

    let successor = Node::start("effects", &effects.database, &broker.url()).await;
    successor.consume(successor.counting("only"));

    eventually("all effects", async || effects.count().await >= 7).await;
    assert_eq!(effects.versions().await[&key(1)], [1, 2, 3, 4, 5, 6, 7]);
}

/// A stream that has lost its five messages, and a consumer that had them delivered and not
/// applied.
async fn delivered_and_lost() -> (Broker, Effects) {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    for version in 1..=5 {
        broker.publish(uuid::Uuid::now_v7(), key(1), version).await;
    }
    let stuck = Node::start("effects", &effects.database, &broker.url()).await;
    stuck.consume(Closure(|_, _| std::future::pending().boxed()));
    let data = broker.server.data();
    eventually("five deliveries on disk", async || {
        consumer_state(&data).is_some_and(|state| state.get(2..6) == Some(&[0, 0, 5, 5]))
    })
    .await;
    stuck.kill();
    broker.server.down().await;
    lose_messages(&data);
    broker.server.up().await;
    let left = eventually("an answer", async || broker.count().await).await;
    assert_eq!(left, 0);
    (broker, effects)
}

/// What the broker has written down about the consumer: two bytes of header, then consumer and
/// stream sequence of what was acknowledged, then of what was delivered.
fn consumer_state(data: &Path) -> Option<Vec<u8>> {
    std::fs::read_dir(data).ok()?.flatten().find_map(|entry| match entry.file_name().to_str() {
        Some("o.dat") => std::fs::read(entry.path()).ok(),
        _ => consumer_state(&entry.path()),
    })
}

fn lose_messages(data: &Path) {
    for entry in std::fs::read_dir(data).unwrap().map(Result::unwrap) {
        if entry.file_name() == "msgs" {
            std::fs::remove_dir_all(entry.path()).unwrap();
            std::fs::create_dir(entry.path()).unwrap();
        } else if entry.file_type().unwrap().is_dir() {
            lose_messages(&entry.path());
        }
    }
}
