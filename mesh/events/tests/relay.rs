//! What the relay promises while streams stay what they are.

use std::time::Duration;

use mesh_testkit::{Database, eventually};
use uuid::Uuid;

use crate::support::{Broker, Effects, Node, Proxy, counted, key, migrations};

/// B1: the broker is killed, orders go on, the broker comes back.
#[tokio::test(flavor = "multi_thread")]
async fn events_recorded_while_the_broker_is_away_arrive_once_it_is_back() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let effects = Effects::empty().await;
    let publisher = Node::start("things", &things, &broker.url()).await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    publisher.relay();
    consumer.consume(consumer.counting("only"));
    publisher.record(counted(key(1), 1..=3)).await;
    eventually("three effects", async || effects.count().await == 3).await;

    broker.server.down().await;
    publisher.nats.disconnected().await;
    publisher.record(counted(key(1), 4..=40)).await;
    let readiness = publisher.service.health().readiness();
    broker.server.up().await;

    eventually("all effects", async || effects.count().await >= 40).await;
    let report = readiness.conditions.iter().find(|report| report.name == "broker").unwrap();
    assert_eq!(report.state, mesh_runtime::State::Degraded, "{report:?}");
    assert_eq!(effects.versions().await[&key(1)], (1..=40).collect::<Vec<_>>());
}

/// Whoever watches the lag sees it most of all while the broker cannot say how far it has come.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_hears_of_is_measured_while_the_broker_is_away() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let publisher = Node::start("unheard", &things, &broker.url()).await;
    publisher.relay();
    publisher.record(counted(key(1), 1..=3)).await;
    eventually("three events", async || broker.count().await == Some(3)).await;

    broker.server.down().await;
    publisher.nats.disconnected().await;
    publisher.record(counted(key(1), 4..=10)).await;
    eventually("seven rows to be late", async || rows_late("unheard") == Some(7.0)).await;
    broker.server.up().await;

    eventually("none to be late", async || rows_late("unheard") == Some(0.0)).await;
    assert_eq!(broker.count().await, Some(10));
}

/// What a service's relay says of its lag.
fn rows_late(service: &str) -> Option<f64> {
    let text = mesh_runtime::metrics::render().unwrap();
    let about = format!("service=\"{service}\"");
    let mut lines = text.lines().filter(|line| line.starts_with("mesh_relay_lag_rows{"));
    lines.find(|line| line.contains(&about))?.rsplit_once(' ')?.1.parse().ok()
}

/// B2: the process is gone at whatever point of the pipeline, several times.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_crashes_in_the_middle_of_a_batch_loses_and_repeats_nothing() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let writer = Node::start("things", &things, &broker.url()).await;
    let all = 3_000;
    for chunk in (1..=all).collect::<Vec<_>>().chunks(500) {
        writer.record(counted(key(1), chunk.iter().copied())).await;
    }

    let mut cut_short = 0;
    for goal in [1, 400, 900, 1_700] {
        let relay = Node::start("things", &things, &broker.url()).await;
        relay.relay();
        eventually("progress", async || broker.count().await >= Some(goal)).await;
        relay.kill();
        cut_short += usize::from(broker.count().await < Some(all as u64));
    }
    let relay = Node::start("things", &things, &broker.url()).await;
    relay.relay();

    eventually("everything", async || broker.count().await >= Some(all as u64)).await;
    assert!(cut_short > 0, "no relay was killed before it was done");
    let versions: Vec<_> = broker.events().await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, (1..=all).collect::<Vec<_>>());
}

/// B7: the broker stores, and its word for it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_acknowledgement_is_lost_is_stored_once() {
    let broker = Broker::start().await;
    let wire = Proxy::to(&broker.url()).await;
    let things = Database::empty("things", migrations()).await;
    let publisher = Node::start("things", &things, wire.url()).await;
    publisher.relay();
    publisher.record(counted(key(1), 1..=1)).await;
    eventually("the first", async || broker.count().await == Some(1)).await;

    wire.mute();
    publisher.record(counted(key(1), 2..=20)).await;
    eventually("stored", async || broker.count().await == Some(20)).await;
    eventually("answers lost", async || wire.withheld() > 0).await;
    wire.cut();
    publisher.record(counted(key(1), 21..=22)).await;

    eventually("the rest", async || broker.count().await >= Some(22)).await;
    let versions: Vec<_> = broker.events().await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, (1..=22).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_publishes_and_the_other_takes_over() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let first = Node::start("things", &things, &broker.url()).await;
    first.relay();
    first.record(counted(key(1), 1..=1)).await;
    eventually("the first", async || broker.count().await == Some(1)).await;
    let second = Node::start("things", &things, &broker.url()).await;
    second.relay();

    second.record(counted(key(1), 2..=50)).await;
    eventually("what the other wrote", async || broker.count().await == Some(50)).await;
    first.kill();
    second.record(counted(key(1), 51..=60)).await;

    eventually("what came after", async || broker.count().await >= Some(60)).await;
    let versions: Vec<_> = broker.events().await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, (1..=60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_public_events_are_published_as_cloud_events() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let publisher = Node::start("things", &things, &broker.url()).await;
    let mut rows = counted(key(7), 1..=2);
    rows[0].2.public = false;
    let id = rows[1].2.id;

    publisher.relay();
    publisher.record(rows).await;

    eventually("one message", async || broker.count().await == Some(1)).await;
    let message = broker.stream().await.get_raw_message(1).await.unwrap();
    assert_eq!(message.subject.as_str(), "stranger.v1.Counted");
    let header = |name: &str| message.headers.get(name).unwrap().to_string();
    assert_eq!(header("Nats-Msg-Id"), id.to_string());
    assert_eq!(header("ce-specversion"), "1.0");
    assert_eq!(header("ce-id"), id.to_string());
    assert_eq!(header("ce-type"), "stranger.v1.Counted");
    assert_eq!(header("ce-source"), "/things");
    assert_eq!(header("ce-subject"), key(7).to_string());
    assert_eq!(header("ce-sequence"), "2");
    assert_eq!(header("datacontenttype"), "application/protobuf");
    assert_eq!(header("Mesh-Log-Position"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_messages_have_expired_is_not_filled_again() {
    let broker = Broker::with_stream(|config| {
        config.max_age = Duration::from_secs(1);
        config.duplicate_window = Duration::from_millis(500);
    })
    .await;
    let things = Database::empty("things", migrations()).await;
    let pool = things.pool().await;
    let publisher = Node::start("things", &things, &broker.url()).await;
    publisher.relay();
    publisher.record(counted(key(1), 1..=5)).await;
    eventually("the note", async || {
        let noted: Option<i64> = sqlx::query_scalar("SELECT max(log_position) FROM relay_notes")
            .fetch_one(&pool)
            .await
            .unwrap();
        noted == Some(5)
    })
    .await;
    eventually("expired", async || broker.count().await == Some(0)).await;
    publisher.kill();

    let successor = Node::start("things", &things, &broker.url()).await;
    successor.relay();
    successor.record(counted(key(1), 6..=6)).await;

    eventually("the next", async || broker.count().await == Some(1)).await;
    assert_eq!(broker.events().await[0].1, 6);
    let last = broker.stream().await.get_info().await.unwrap().state.last_sequence;
    assert_eq!(last, 6, "nothing was published twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_published_by_hand_makes_the_relay_neither_skip_nor_repeat() {
    let broker = Broker::start().await;
    let things = Database::empty("things", migrations()).await;
    let publisher = Node::start("things", &things, &broker.url()).await;
    publisher.relay();
    publisher.record(counted(key(1), 1..=3)).await;
    eventually("three", async || broker.count().await == Some(3)).await;

    broker.publish(Uuid::now_v7(), key(9), 90).await;
    publisher.record(counted(key(1), 4..=5)).await;
    eventually("two more", async || broker.count().await == Some(6)).await;
    publisher.kill();
    broker.publish(Uuid::now_v7(), key(9), 91).await;
    let successor = Node::start("things", &things, &broker.url()).await;
    successor.relay();
    successor.record(counted(key(1), 6..=6)).await;

    eventually("the last", async || broker.count().await >= Some(8)).await;
    let versions: Vec<_> = broker.events().await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, [1, 2, 3, 90, 4, 5, 91, 6]);
}
