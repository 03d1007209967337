//! A shipment's life, one request or fifty at once.

use futures::future::join_all;
use shop::shipping::v1::{CreateShipmentRequest, Shipment, ShipmentState};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Shipping, cancel, create, fields, reason, release, report};

#[tokio::test]
async fn a_parcel_arrives_and_its_address_is_forgotten() {
    let shipping = Shipping::start().await;
    let announcement = create();
    let id = &announcement.request_id;

    let held = shipping.create(announcement.clone()).await.unwrap();
    let kept = shipping.addresses().await;
    let released = shipping.release(release(id)).await.unwrap();
    let dispatched = shipping.report(report(id, ShipmentState::Dispatched)).await.unwrap();
    let delivered = shipping.report(report(id, ShipmentState::Delivered)).await.unwrap();

    assert_eq!((held.state(), held.version), (ShipmentState::Held, 1));
    assert_eq!(held.order_id, announcement.order_id);
    assert_eq!((released.state(), released.version), (ShipmentState::Released, 2));
    assert_eq!((dispatched.state(), dispatched.version), (ShipmentState::Dispatched, 3));
    assert_eq!((delivered.state(), delivered.version), (ShipmentState::Delivered, 4));
    assert_eq!(shipping.get(id).await.unwrap(), delivered);
    let told = ["ShipmentCreated", "ShipmentReleased", "ShipmentDispatched", "ShipmentDelivered"];
    assert_eq!(shipping.events(id).await, told);
    assert_eq!((kept, shipping.addresses().await), (1, 0));
}

#[tokio::test]
async fn whose_a_parcel_is_is_no_part_of_what_is_repeated() {
    let shipping = Shipping::start().await;
    let nobodys = create();
    let somebodys =
        CreateShipmentRequest { customer_id: Uuid::now_v7().to_string(), ..nobodys.clone() };

    let first = shipping.create(nobodys).await.unwrap();
    let again = shipping.create(somebodys).await.unwrap();

    assert_eq!(first, again);
}

#[tokio::test]
async fn a_lost_parcel_ends_too() {
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;

    let lost = shipping.report(report(&id, ShipmentState::Lost)).await.unwrap();

    assert_eq!(lost.state(), ShipmentState::Lost);
    assert_eq!(shipping.events(&id).await.last().unwrap(), "ShipmentLost");
    assert_eq!(shipping.addresses().await, 0);
}

#[tokio::test]
async fn fifty_equal_creates_at_once_make_one_shipment_and_one_event() {
    let shipping = Shipping::start().await;
    let announcement = create();

    let answers = join_all((0..50).map(|_| shipping.create(announcement.clone()))).await;

    all_equal(answers.into_iter().map(Result::unwrap));
    assert_eq!(shipping.rows("shipments").await, 1);
    assert_eq!(shipping.events(&announcement.request_id).await, ["ShipmentCreated"]);
}

#[tokio::test]
async fn fifty_equal_changes_at_once_are_made_once() {
    let shipping = Shipping::start().await;
    let id = shipping.held().await;
    let (let_go, left) = (release(&id), report(&id, ShipmentState::Dispatched));

    let released = join_all((0..50).map(|_| shipping.release(let_go.clone()))).await;
    let dispatched = join_all((0..50).map(|_| shipping.report(left.clone()))).await;

    all_equal(released.into_iter().map(Result::unwrap));
    all_equal(dispatched.into_iter().map(Result::unwrap));
    let told = ["ShipmentCreated", "ShipmentReleased", "ShipmentDispatched"];
    assert_eq!(shipping.events(&id).await, told);
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_whatever_came_after_it() {
    let shipping = Shipping::start().await;
    let announcement = create();
    let id = &announcement.request_id;
    let (let_go, left) = (release(id), report(id, ShipmentState::Dispatched));
    let first = (
        shipping.create(announcement.clone()).await.unwrap(),
        shipping.release(let_go.clone()).await.unwrap(),
        shipping.report(left.clone()).await.unwrap(),
    );
    shipping.report(report(id, ShipmentState::Delivered)).await.unwrap();

    let again = (
        shipping.create(announcement.clone()).await.unwrap(),
        shipping.release(let_go).await.unwrap(),
        shipping.report(left).await.unwrap(),
    );

    assert_eq!(again, first);
    assert_eq!(shipping.events(id).await.len(), 4);
}

#[tokio::test]
async fn a_request_id_with_other_content_is_refused_and_changes_nothing() {
    let shipping = Shipping::start().await;
    let announcement = create();
    let id = &announcement.request_id;
    let (let_go, left) = (release(id), report(id, ShipmentState::Dispatched));
    shipping.create(announcement.clone()).await.unwrap();
    shipping.release(let_go.clone()).await.unwrap();
    let before = shipping.report(left.clone()).await.unwrap();
    let other = shipping.held().await;

    let mut elsewhere = announcement.clone();
    elsewhere.address.as_mut().unwrap().city = "Ghent".into();
    let mut let_go_other = let_go;
    let_go_other.shipment_id.clone_from(&other);
    let mut arrived = left;
    arrived.set_state(ShipmentState::Delivered);
    let outcomes = [
        shipping.create(elsewhere).await,
        shipping.release(let_go_other).await,
        shipping.report(arrived).await,
    ];

    for outcome in outcomes {
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "REQUEST_CONTENT_DIFFERS");
    }
    assert_eq!(shipping.get(id).await.unwrap(), before);
    assert_eq!(shipping.get(&other).await.unwrap().state(), ShipmentState::Held);
}

#[tokio::test]
async fn a_shipment_that_arrives_after_its_cancellation_is_refused_for_good() {
    let shipping = Shipping::start().await;
    let announcement = create();
    let id = &announcement.request_id;

    let mark = shipping.cancel(cancel(id)).await.unwrap();
    let again = shipping.cancel(cancel(id)).await.unwrap();

    assert_eq!((mark.state(), mark.version), (ShipmentState::Cancelled, 1));
    assert_eq!(again, mark);
    for _ in 0..2 {
        let created = shipping.create(announcement.clone()).await.unwrap_err();
        let released = shipping.release(release(id)).await.unwrap_err();
        for status in [created, released] {
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert_eq!(reason(&status), "CANCELLED_BEFORE_ARRIVAL");
        }
    }
    assert_eq!(shipping.addresses().await, 0);
    assert!(shipping.events(id).await.is_empty(), "nobody is told of a mark");
}

#[tokio::test]
async fn a_create_and_its_cancel_at_once_end_cancelled_in_either_order() {
    let shipping = Shipping::start().await;

    let ids = join_all((0..50).map(async |_| {
        let announcement = create();
        let id = announcement.request_id.clone();
        let (_, cancelled) =
            futures::join!(shipping.create(announcement), shipping.cancel(cancel(&id)));
        assert_eq!(cancelled.unwrap().state(), ShipmentState::Cancelled);
        id
    }))
    .await;

    for id in ids {
        assert_eq!(shipping.get(&id).await.unwrap().state(), ShipmentState::Cancelled);
        let told = shipping.events(&id).await;
        assert!(told.is_empty() || told == ["ShipmentCreated", "ShipmentCancelled"], "{told:?}");
    }
    assert_eq!(shipping.addresses().await, 0);
}

#[tokio::test]
async fn a_cancel_and_a_dispatch_at_once_agree_on_who_was_first() {
    let shipping = Shipping::start().await;
    let ids = join_all((0..50).map(|_| shipping.released())).await;

    let winners = join_all(ids.iter().map(async |id| {
        let dispatch = shipping.report(report(id, ShipmentState::Dispatched));
        match futures::join!(shipping.cancel(cancel(id)), dispatch) {
            (Ok(shipment), Err(refused)) => {
                assert_eq!(reason(&refused), "SHIPMENT_STATE_CONFLICT");
                shipment
            }
            (Err(refused), Ok(shipment)) => {
                assert_eq!(reason(&refused), "SHIPMENT_DISPATCHED");
                shipment
            }
            both => panic!("{both:?}"),
        }
    }))
    .await;

    for shipment in winners {
        assert_eq!(shipping.get(&shipment.shipment_id).await.unwrap(), shipment);
        assert_eq!(shipping.events(&shipment.shipment_id).await.len(), 3);
    }
}

#[tokio::test]
async fn a_parcel_that_has_left_cannot_be_cancelled() {
    let shipping = Shipping::start().await;
    let id = shipping.dispatched().await;

    let in_transit = shipping.cancel(cancel(&id)).await.unwrap_err();
    shipping.report(report(&id, ShipmentState::Delivered)).await.unwrap();
    let arrived = shipping.cancel(cancel(&id)).await.unwrap_err();

    for status in [in_transit, arrived] {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "SHIPMENT_DISPATCHED");
    }
}

#[tokio::test]
async fn a_cancelled_parcel_stays_where_it_is() {
    let shipping = Shipping::start().await;
    let id = shipping.released().await;

    let cancelled = shipping.cancel(cancel(&id)).await.unwrap();
    let again = shipping.cancel(cancel(&id)).await.unwrap();
    let released = shipping.release(release(&id)).await.unwrap_err();
    let left = shipping.report(report(&id, ShipmentState::Dispatched)).await.unwrap_err();

    assert_eq!((cancelled.state(), again), (ShipmentState::Cancelled, cancelled.clone()));
    assert_eq!(reason(&released), "CANCELLED_BEFORE_ARRIVAL");
    assert_eq!(reason(&left), "SHIPMENT_STATE_CONFLICT");
    assert_eq!(shipping.events(&id).await.last().unwrap(), "ShipmentCancelled");
    assert_eq!(shipping.addresses().await, 0);
}

#[tokio::test]
async fn a_report_that_cannot_follow_is_refused() {
    let shipping = Shipping::start().await;
    let id = shipping.held().await;

    for state in [ShipmentState::Dispatched, ShipmentState::Delivered, ShipmentState::Lost] {
        let status = shipping.report(report(&id, state)).await.unwrap_err();

        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "SHIPMENT_STATE_CONFLICT");
    }
    assert_eq!(shipping.events(&id).await, ["ShipmentCreated"]);
}

#[tokio::test]
async fn commands_that_share_a_batch_have_outcomes_of_their_own() {
    let shipping = Shipping::start().await;
    let announcements = (0..200).map(|n| {
        let mut announcement = create();
        if n % 2 == 1 {
            announcement.address.as_mut().unwrap().country_code = "AQ".into();
        }
        announcement
    });

    let outcomes = join_all(announcements.map(|announcement| shipping.create(announcement))).await;

    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), n % 2 == 0, "{outcome:?}");
    }
    assert_eq!(shipping.rows("shipments").await, 100);
    assert_eq!(shipping.rows("log").await, 100);
    assert_eq!(shipping.addresses().await, 100);
}

#[tokio::test]
async fn what_nobody_knows_is_not_found_and_leaves_no_row() {
    let shipping = Shipping::start().await;
    let id = Uuid::now_v7().to_string();

    let outcomes = [
        shipping.get(&id).await,
        shipping.release(release(&id)).await,
        shipping.report(report(&id, ShipmentState::Dispatched)).await,
    ];

    for outcome in outcomes {
        let status = outcome.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "SHIPMENT_NOT_FOUND")
        );
    }
    assert_eq!(shipping.rows("shipments").await + shipping.rows("requests").await, 0);
}

#[tokio::test]
async fn an_address_that_nobody_serves_is_refused_and_leaves_no_row() {
    let shipping = Shipping::start().await;

    for country in ["AQ", "KP", "RU"] {
        let mut announcement = create();
        announcement.address.as_mut().unwrap().country_code = country.into();
        let status = shipping.create(announcement).await.unwrap_err();

        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "ADDRESS_NOT_SERVED");
        assert_eq!(fields(&status), ["address.country_code"]);
    }
    for table in ["shipments", "shipment_addresses", "log", "requests"] {
        assert_eq!(shipping.rows(table).await, 0, "{table}");
    }
}

fn all_equal(mut answers: impl Iterator<Item = Shipment>) {
    let first = answers.next().unwrap();
    answers.for_each(|answer| assert_eq!(answer, first));
}
