//! Holds that outlive their time.

use mesh_testkit::eventually;
use prost_types::Duration;
use shop::inventory::v1::{ReservationState, ReserveStockRequest};
use tonic::Code;

use crate::inventory::{Inventory, order, refusal};

#[tokio::test]
async fn an_expired_hold_frees_its_pieces_and_is_sold_while_they_are_there() {
    let inventory = Inventory::start().await;
    let (_other, _) = inventory.replica().await; // Two sweepers end a hold once.
    inventory.receive("MUG", 5).await;
    let id = inventory.reserve(briefly(order(&[("MUG", 2)]))).await.unwrap().reservation_id;

    expired(&inventory, &id).await;
    assert_eq!(inventory.stock("MUG").await.on_hand, 5);
    let committed = inventory.commit(&id).await.unwrap();

    assert_eq!(committed.state(), ReservationState::Committed);
    assert_eq!(inventory.stock("MUG").await.committed, 2);
    assert_eq!(inventory.told(&id).await, ["StockReserved", "StockReleased", "StockCommitted"]);
    inventory.end().await;
}

#[tokio::test]
async fn an_expired_hold_whose_pieces_are_gone_is_not_sold() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let id = inventory.reserve(briefly(order(&[("MUG", 2)]))).await.unwrap().reservation_id;
    expired(&inventory, &id).await;
    inventory.reserve(order(&[("MUG", 4)])).await.unwrap();

    let refused = refusal(inventory.commit(&id).await);

    let out = (Code::FailedPrecondition, "OUT_OF_STOCK".to_owned(), Some("MUG".to_owned()));
    assert_eq!(refused, out);
    assert_eq!(inventory.reservation(&id).await.state(), ReservationState::Expired);
    inventory.end().await;
}

#[tokio::test]
async fn a_sold_hold_does_not_expire() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let sold = inventory.reserve(briefly(order(&[("MUG", 1)]))).await.unwrap().reservation_id;
    inventory.commit(&sold).await.unwrap();
    let held = inventory.reserve(briefly(order(&[("MUG", 1)]))).await.unwrap().reservation_id;

    // Its hold was over before this one's.
    expired(&inventory, &held).await;

    assert_eq!(inventory.reservation(&sold).await.state(), ReservationState::Committed);
    inventory.end().await;
}

async fn expired(inventory: &Inventory, id: &str) {
    eventually("the hold ends", async || {
        inventory.reservation(id).await.state() == ReservationState::Expired
    })
    .await;
}

fn briefly(request: ReserveStockRequest) -> ReserveStockRequest {
    ReserveStockRequest { hold: Some(Duration { seconds: 1, nanos: 0 }), ..request }
}
