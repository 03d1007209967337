//! A parcel's way, told as it goes, by whichever replica.

use std::time::Duration;

use mesh_rpc::timeout_request;
use shop::shipping::v1::{
    ShipmentState, TrackShipmentRequest, TrackShipmentResponse, TrackingEntry, tracking_entry::What,
};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::{
    positions::{at, depot, sighting},
    support::{Shipping, cancel, create, fields, reason, release, report},
};

#[tokio::test]
async fn a_way_is_told_from_its_beginning_to_its_end() {
    let shipping = Shipping::start().await;
    let id = shipping.held().await;
    let mut way = shipping.track(&id, 0).await.unwrap();
    let sightings = [sighting(&id, at(50.85, 4.35)), sighting(&id, depot("Leuven"))];

    let mut told = vec![next(&mut way).await];
    shipping.release(release(&id)).await.unwrap();
    told.push(next(&mut way).await);
    shipping.report(report(&id, ShipmentState::Dispatched)).await.unwrap();
    told.push(next(&mut way).await);
    for sighting in &sightings {
        shipping.record([sighting.clone()]).await.unwrap();
        told.push(next(&mut way).await);
    }
    shipping.report(report(&id, ShipmentState::Delivered)).await.unwrap();
    told.push(next(&mut way).await);

    assert!(way.message().await.unwrap().is_none(), "nothing follows");
    let sequences: Vec<_> = told.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
    let [first, second] = sightings.map(|sighting| sighting.position.unwrap());
    assert_eq!(told[3].time, first.time);
    let whats: Vec<_> = told.iter().map(|entry| entry.what.clone().unwrap()).collect();
    let state = |state: ShipmentState| What::State(state.into());
    let expected = [
        state(ShipmentState::Held),
        state(ShipmentState::Released),
        state(ShipmentState::Dispatched),
        What::Position(first),
        What::Position(second),
        state(ShipmentState::Delivered),
    ];
    assert_eq!(whats, expected);
    let expected: Vec<_> = told.iter().map(|entry| entry.estimate.is_some()).collect();
    assert_eq!(expected, [true, true, true, false, false, false]);
}

#[tokio::test]
async fn a_way_is_resumed_behind_any_entry() {
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;
    // More than the service reads at once.
    let sightings: Vec<_> = (0..250).map(|n| sighting(&id, depot(format!("depot {n}")))).collect();
    shipping.record(sightings).await.unwrap();
    shipping.report(report(&id, ShipmentState::Lost)).await.unwrap();

    let whole = shipping.whole_way(&id, 0).await;

    let sequences: Vec<_> = whole.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=254).collect::<Vec<_>>());
    for after in [1, 2, 3, 4, 102, 103, 104, 252, 253, 254] {
        let rest = shipping.whole_way(&id, after).await;
        assert_eq!(rest, whole[whole.len().min(after as usize)..], "after {after}");
    }
}

#[tokio::test]
async fn a_way_that_ends_without_a_parcel_leaving_is_told_too() {
    let shipping = Shipping::start().await;
    let (held, mark) = (shipping.held().await, create().request_id);
    shipping.cancel(cancel(&held)).await.unwrap();
    shipping.cancel(cancel(&mark)).await.unwrap();

    let states = |way: Vec<TrackingEntry>| -> Vec<_> {
        way.into_iter().map(|entry| entry.what.unwrap()).collect()
    };

    let cancelled = What::State(ShipmentState::Cancelled.into());
    let way = states(shipping.whole_way(&held, 0).await);
    assert_eq!(way, [What::State(ShipmentState::Held.into()), cancelled.clone()]);
    assert_eq!(states(shipping.whole_way(&mark, 0).await), [cancelled]);
}

#[tokio::test]
async fn what_another_replica_does_is_told() {
    let one = Shipping::start().await;
    let other = one.another().await;
    let id = one.held().await;
    let mut way = one.track(&id, 0).await.unwrap();
    next(&mut way).await;

    other.release(release(&id)).await.unwrap();
    let released = next(&mut way).await;
    other.report(report(&id, ShipmentState::Dispatched)).await.unwrap();
    next(&mut way).await;
    other.record([sighting(&id, depot("Leuven"))]).await.unwrap();
    let position = next(&mut way).await;
    other.report(report(&id, ShipmentState::Delivered)).await.unwrap();
    let delivered = next(&mut way).await;

    assert_eq!(released.what, Some(What::State(ShipmentState::Released.into())));
    assert!(matches!(position.what, Some(What::Position(_))));
    assert_eq!((position.sequence, delivered.sequence), (4, 5));
    assert!(way.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_ends_when_its_service_does_and_goes_on_elsewhere() {
    let one = Shipping::start().await;
    let other = one.another().await;
    let id = one.dispatched().await;
    let mut way = one.track(&id, 0).await.unwrap();
    let mut last = 0;
    for _ in 0..3 {
        last = next(&mut way).await.sequence;
    }

    one.stop();
    let ended = way.message().await.unwrap_err();
    let mut rest = other.track(&id, last).await.unwrap();
    other.report(report(&id, ShipmentState::Delivered)).await.unwrap();

    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SERVICE_STOPPING"));
    assert_eq!(next(&mut rest).await.sequence, 4);
    assert!(rest.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let shipping = Shipping::start().await;
    let id = shipping.held().await;
    let request = TrackShipmentRequest { shipment_id: id, after_sequence: 1 };
    let request = timeout_request(request, Duration::from_millis(500));

    let mut way = shipping.client().track_shipment(request).await.unwrap().into_inner();

    assert_eq!(way.message().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn what_cannot_be_tracked_is_refused_by_field() {
    let shipping = Shipping::start().await;
    let id = shipping.held().await;
    let unknown = Uuid::now_v7().to_string();
    let cases = [
        (unknown.as_str(), 0, Code::NotFound, "SHIPMENT_NOT_FOUND", "shipment_id"),
        ("7", 0, Code::InvalidArgument, "UUID_MALFORMED", "shipment_id"),
        (id.as_str(), -1, Code::InvalidArgument, "NUMBER_OUT_OF_RANGE", "after_sequence"),
        (id.as_str(), i32::MAX, Code::OutOfRange, "SEQUENCE_AHEAD", "after_sequence"),
    ];

    for (id, after, code, why, field) in cases {
        let status = shipping.track(id, after).await.unwrap_err();

        assert_eq!((status.code(), reason(&status).as_str()), (code, why));
        assert_eq!(fields(&status), [field]);
    }
}

impl Shipping {
    async fn track(
        &self,
        id: &str,
        after_sequence: i32,
    ) -> Result<Streaming<TrackShipmentResponse>, Status> {
        let request = TrackShipmentRequest { shipment_id: id.to_owned(), after_sequence };
        Ok(self.client().track_shipment(request).await?.into_inner())
    }

    /// The way of a parcel that has ended.
    async fn whole_way(&self, id: &str, after: i32) -> Vec<TrackingEntry> {
        let mut way = self.track(id, after).await.unwrap();
        let mut told = Vec::new();
        while let Some(answer) = way.message().await.unwrap() {
            told.push(answer.entry.unwrap());
        }
        told
    }
}

async fn next(way: &mut Streaming<TrackShipmentResponse>) -> TrackingEntry {
    way.message().await.unwrap().unwrap().entry.unwrap()
}
