//! Positions that carriers stream.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt as _, future::join_all, stream};
use mesh_testkit::eventually;
use prost_types::Timestamp;
use shop::shipping::v1::{
    Coordinates, Position, RecordPositionsRequest, RecordPositionsResponse, ShipmentState,
    position::Where,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::{Shipping, fields, reason, report};

#[tokio::test]
async fn positions_are_stored_once_however_often_they_come() {
    let shipping = Shipping::start().await;
    let (one, other) = (shipping.dispatched().await, shipping.dispatched().await);
    // Who stays where he is has been there twice.
    let sightings: Vec<_> = (0..250)
        .map(|n| sighting(if n % 2 == 0 { &one } else { &other }, at(50.85, 4.35)))
        .collect();

    let first = shipping.record(sightings.clone()).await.unwrap();
    let again = shipping.record(sightings.clone()).await.unwrap();
    let twice = shipping.record([sightings.clone(), sightings].concat()).await.unwrap();

    assert_eq!(first, counts(250, 0, 0));
    assert_eq!(again, counts(0, 250, 0));
    assert_eq!(twice, counts(0, 500, 0));
    assert_eq!(shipping.rows("shipment_positions").await, 250);
    assert_eq!(shipping.events(&one).await.len(), 3, "nobody is told but who tracks");
}

#[tokio::test]
async fn the_same_positions_at_once_are_stored_once() {
    let one = Shipping::start().await;
    let other = one.another().await;
    let ids = join_all((0..4).map(|_| one.dispatched())).await;
    let sightings: Vec<_> =
        (0..200).map(|n| sighting(&ids[n % 4], depot(format!("depot {n}")))).collect();
    let backwards: Vec<_> = sightings.iter().rev().cloned().collect();

    let answers = join_all((0..6).map(|n| {
        let replica = if n % 2 == 0 { &one } else { &other };
        replica.record(if n < 3 { sightings.clone() } else { backwards.clone() })
    }))
    .await;

    let sum = |count: fn(&RecordPositionsResponse) -> i64| -> i64 {
        answers.iter().map(|answer| count(answer.as_ref().unwrap())).sum()
    };
    assert_eq!((sum(|it| it.stored_count), sum(|it| it.known_count)), (200, 1000));
    let numbers: Vec<(i64, i32, i32)> = sqlx::query_as(
        "SELECT count(*), min(number), max(number) FROM shipment_positions GROUP BY shipment_id",
    )
    .fetch_all(one.pool())
    .await
    .unwrap();
    assert_eq!(numbers, [(50, 1, 50); 4], "each way without gaps");
}

#[tokio::test]
async fn a_position_of_a_parcel_that_has_ended_comes_too_late() {
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;
    let known = sighting(&id, depot("Leuven"));
    shipping.record([known.clone()]).await.unwrap();
    shipping.report(report(&id, ShipmentState::Delivered)).await.unwrap();

    let other = shipping.dispatched().await;
    let late = sighting(&id, depot("Ghent"));
    let sightings = [known, late, sighting(&other, depot("Ghent"))];
    let answer = shipping.record(sightings).await.unwrap();

    assert_eq!(answer, counts(1, 1, 1));
    assert_eq!(shipping.rows("shipment_positions").await, 2);
}

#[tokio::test]
async fn what_was_stored_stays_when_the_stream_breaks() {
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;
    let sightings: Vec<_> = (0..20).map(|n| sighting(&id, depot(format!("depot {n}")))).collect();
    let (sender, receiver) = mpsc::channel(20);
    let mut client = shipping.client();
    let call = tokio::spawn(async move {
        client.record_positions(ReceiverStream::new(receiver)).await.map(drop)
    });

    for sighting in &sightings[..10] {
        sender.send(sighting.clone()).await.unwrap();
    }
    let stored = async || shipping.rows("shipment_positions").await == 10;
    eventually("ten positions to be stored while the stream goes on", stored).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let again = shipping.record(sightings).await.unwrap();

    assert_eq!(again, counts(10, 10, 0));
}

#[tokio::test]
async fn a_stream_ends_when_its_service_does_and_is_sent_again_elsewhere() {
    let one = Shipping::start().await;
    let other = one.another().await;
    let id = one.dispatched().await;
    let sightings: Vec<_> = (0..3).map(|n| sighting(&id, depot(format!("depot {n}")))).collect();
    let (sender, receiver) = mpsc::channel(3);
    let mut client = one.client();
    let call = tokio::spawn(async move {
        client.record_positions(ReceiverStream::new(receiver)).await.map(drop)
    });
    sender.send(sightings[0].clone()).await.unwrap();
    let stored = async || one.rows("shipment_positions").await == 1;
    eventually("the first position to be stored", stored).await;

    one.stop();
    let ended = call.await.unwrap().unwrap_err();
    let again = other.record(sightings).await.unwrap();

    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SERVICE_STOPPING"));
    assert_eq!(again, counts(2, 1, 0));
}

#[tokio::test]
async fn who_sends_faster_than_is_stored_is_slowed_down() {
    const MANY: usize = 9000;
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let to = id.clone();
    let sightings = stream::iter(0..MANY).map(move |n| {
        counted.fetch_add(1, Ordering::Relaxed);
        sighting(&to, depot(format!("{n:0200}")))
    });
    // Nothing can be stored as long as somebody else has the parcel.
    let mut lock = shipping.pool().begin().await.unwrap();
    let locking = sqlx::query("SELECT FROM shipments WHERE id = $1 FOR UPDATE");
    locking.bind(id.parse::<Uuid>().unwrap()).execute(&mut *lock).await.unwrap();
    let mut client = shipping.client();
    let call = tokio::spawn(async move { client.record_positions(sightings).await });

    let (mut before, mut still) = (0, 0);
    eventually("the carrier to come to a halt", async || {
        let now = sent.load(Ordering::Relaxed);
        still = if now > 0 && now == before { still + 1 } else { 0 };
        before = now;
        still == 20
    })
    .await;
    let halted = sent.load(Ordering::Relaxed);
    lock.rollback().await.unwrap();
    let answer = call.await.unwrap().unwrap().into_inner();

    assert!(halted < MANY, "{halted} of {MANY} were taken while none was stored");
    assert_eq!(answer, counts(MANY as i64, 0, 0));
}

#[tokio::test]
async fn a_position_that_is_refused_ends_the_stream_and_names_its_message() {
    let shipping = Shipping::start().await;
    let (id, held) = (shipping.dispatched().await, shipping.held().await);
    let good = || sighting(&id, depot("Leuven"));
    let known = good();
    let mut differs = known.clone();
    differs.position.as_mut().unwrap().r#where = Some(at(1.0, 1.0));
    let nowhere = Uuid::now_v7().to_string();
    let failed = Code::FailedPrecondition;
    let cases = [
        (sighting(&nowhere, at(0.0, 0.0)), Code::NotFound, "SHIPMENT_NOT_FOUND", "shipment_id"),
        (sighting(&held, at(0.0, 0.0)), failed, "SHIPMENT_NOT_DISPATCHED", "shipment_id"),
        (differs, failed, "REQUEST_CONTENT_DIFFERS", "position.position_id"),
    ];
    shipping.record([known]).await.unwrap();

    for (n, (wrong, code, why, field)) in (1..).zip(cases) {
        let status = shipping.record([good(), wrong, good()]).await.unwrap_err();

        assert_eq!((status.code(), reason(&status).as_str()), (code, why));
        assert_eq!(fields(&status), [field]);
        assert_eq!(mesh_rpc::error_metadata(&status, "message").as_deref(), Some("2"));
        let stored = shipping.rows("shipment_positions").await;
        assert_eq!(stored, 1 + n, "what came before it, and nothing behind it");
    }
}

#[tokio::test]
async fn a_shipment_has_so_many_positions_and_no_more() {
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;
    sqlx::query("UPDATE shipments SET positions = 9999").execute(shipping.pool()).await.unwrap();

    let two = [sighting(&id, at(0.0, 0.0)), sighting(&id, at(0.0, 0.0))];
    let status = shipping.record(two).await.unwrap_err();

    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "POSITIONS_TOO_MANY")
    );
    assert_eq!(shipping.rows("shipment_positions").await, 1);
}

#[tokio::test]
async fn a_position_that_cannot_be_is_refused_by_field() {
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;
    let (latitude, longitude) = ("position.coordinates.latitude", "position.coordinates.longitude");
    let with = |change: fn(&mut Position)| {
        let mut wrong = sighting(&id, at(0.0, 0.0));
        change(wrong.position.as_mut().unwrap());
        wrong
    };
    let number = "NUMBER_OUT_OF_RANGE";
    let time = "TIME_OUT_OF_RANGE";
    let cases = [
        (sighting("7", at(0.0, 0.0)), "shipment_id", "UUID_MALFORMED"),
        (RecordPositionsRequest { shipment_id: id.clone(), position: None }, "position", MISSING),
        (with(|p| p.position_id.clear()), "position.position_id", "UUID_MALFORMED"),
        (with(|p| p.time = None), "position.time", MISSING),
        (with(|p| p.time = seconds(0)), "position.time", time),
        (with(|p| p.time = seconds(i64::MAX)), "position.time", time),
        (with(|p| p.time.as_mut().unwrap().nanos = -1), "position.time", time),
        (with(|p| p.time.as_mut().unwrap().nanos = 1_000_000_000), "position.time", time),
        (with(|p| p.r#where = None), "position.coordinates", MISSING),
        (sighting(&id, at(90.1, 0.0)), latitude, number),
        (sighting(&id, at(f64::NAN, 0.0)), latitude, number),
        (sighting(&id, at(0.0, -180.1)), longitude, number),
        (sighting(&id, at(0.0, f64::INFINITY)), longitude, number),
        (sighting(&id, depot("")), "position.place", "TEXT_LENGTH_OUT_OF_RANGE"),
        (sighting(&id, depot("é".repeat(201))), "position.place", "TEXT_LENGTH_OUT_OF_RANGE"),
        (sighting(&id, depot("a\0b")), "position.place", "TEXT_MALFORMED"),
    ];

    for (wrong, field, why) in cases {
        let status = shipping.record([wrong]).await.unwrap_err();

        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!((fields(&status), reason(&status).as_str()), (vec![field.to_owned()], why));
        assert_eq!(mesh_rpc::error_metadata(&status, "message").as_deref(), Some("1"));
    }
    let edges = [at(90.0, 180.0), at(-90.0, -180.0)].map(|place| sighting(&id, place));
    assert_eq!(shipping.record(edges).await.unwrap(), counts(2, 0, 0));
    assert_eq!(shipping.record([]).await.unwrap(), counts(0, 0, 0));
}

const MISSING: &str = "FIELD_MISSING";

impl Shipping {
    pub async fn record<S>(&self, sightings: S) -> Result<RecordPositionsResponse, Status>
    where
        S: IntoIterator<Item = RecordPositionsRequest>,
        S::IntoIter: Send + 'static,
    {
        let answer = self.client().record_positions(stream::iter(sightings)).await?;
        Ok(answer.into_inner())
    }
}

/// A new position of a parcel.
pub fn sighting(shipment_id: &str, place: Where) -> RecordPositionsRequest {
    let position = Position {
        position_id: Uuid::now_v7().to_string(),
        time: seconds(1_795_000_000),
        r#where: Some(place),
    };
    RecordPositionsRequest { shipment_id: shipment_id.to_owned(), position: Some(position) }
}

pub fn at(latitude: f64, longitude: f64) -> Where {
    Where::Coordinates(Coordinates { latitude, longitude })
}

pub fn depot(name: impl Into<String>) -> Where {
    Where::Place(name.into())
}

fn seconds(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn counts(stored_count: i64, known_count: i64, late_count: i64) -> RecordPositionsResponse {
    RecordPositionsResponse { stored_count, known_count, late_count }
}
