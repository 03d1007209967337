//! Two replicas on one database, each with batches of its own.

use futures::{future::join_all, join};
use shop::shipping::v1::ShipmentState;
use tonic::{Code, Status};

use crate::support::{Shipping, cancel, create, reason, release, report};

#[tokio::test]
async fn replicas_agree_whoever_is_asked() {
    let (one, other) = start_two().await;
    let announcements: Vec<_> = (0..50).map(|_| create()).collect();

    // The same shipments in opposite order, so that their batches meet at every row.
    let (here, there) = join!(
        join_all(announcements.iter().map(async |announcement| {
            let let_go = release(&announcement.request_id);
            let created = one.create(announcement.clone()).await;
            (created, one.release(let_go).await)
        })),
        join_all(announcements.iter().rev().map(async |announcement| {
            let stop = cancel(&announcement.request_id);
            let created = other.create(announcement.clone()).await;
            (created, other.cancel(stop).await)
        })),
    );

    for ((created, released), (again, cancelled)) in here.into_iter().zip(there.into_iter().rev()) {
        let shipment = created.unwrap();
        assert_eq!(again.unwrap(), shipment);
        assert_eq!(cancelled.unwrap().state(), ShipmentState::Cancelled);
        if let Err(refused) = released {
            assert_eq!(reason(&refused), "CANCELLED_BEFORE_ARRIVAL");
        }
        let told = one.events(&shipment.shipment_id).await;
        assert_eq!(told.first().unwrap(), "ShipmentCreated");
        assert_eq!(told.last().unwrap(), "ShipmentCancelled");
    }
    assert_eq!((one.rows("shipments").await, one.addresses().await), (50, 0));
}

#[tokio::test]
async fn a_request_id_means_one_thing_even_on_two_replicas() {
    let (one, other) = start_two().await;

    let rounds = join_all((0..20).map(async |_| {
        let (id, other_id) = join!(one.released(), other.released());
        let here = report(&id, ShipmentState::Dispatched);
        let mut there = here.clone();
        there.shipment_id = other_id;
        join!(one.report(here), other.report(there))
    }))
    .await;

    for round in rounds {
        let refused: Status = match round {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
            both => panic!("{both:?}"),
        };
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused), "REQUEST_CONTENT_DIFFERS");
    }
}

async fn start_two() -> (Shipping, Shipping) {
    let one = Shipping::start().await;
    let other = one.another().await;
    (one, other)
}
