//! Reservations that are given up, also before they arrive.

use shop::inventory::v1::ReservationState;

use crate::inventory::{Inventory, broken_rule, order, refusal};

#[tokio::test]
async fn a_reservation_that_was_released_before_it_arrived_is_refused() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let late = order(&[("MUG", 2)]);
    let id = late.request_id.clone();

    let mark = inventory.release(&id).await.unwrap();

    assert_eq!((mark.state(), mark.lines.len()), (ReservationState::Released, 0));
    let cancelled = broken_rule("CANCELLED_BEFORE_ARRIVAL");
    assert_eq!(refusal(inventory.reserve(late.clone()).await), cancelled);
    assert_eq!(refusal(inventory.reserve(late).await), cancelled);
    assert_eq!(refusal(inventory.commit(&id).await), cancelled);
    assert_eq!(inventory.restock(&id).await.unwrap(), mark, "giving it up twice changes nothing");
    assert_eq!(inventory.stock("MUG").await.on_hand, 5);
    assert!(inventory.told(&id).await.is_empty());
    inventory.end().await;
}

#[tokio::test]
async fn a_reservation_that_was_restocked_before_it_arrived_is_refused() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let late = order(&[("MUG", 2)]);
    let id = late.request_id.clone();

    let mark = inventory.restock(&id).await.unwrap();

    assert_eq!(mark.state(), ReservationState::Restocked);
    let cancelled = broken_rule("CANCELLED_BEFORE_ARRIVAL");
    assert_eq!(refusal(inventory.reserve(late).await), cancelled);
    assert_eq!(refusal(inventory.commit(&id).await), cancelled);
    assert_eq!(inventory.release(&id).await.unwrap(), mark);
    inventory.end().await;
}

#[tokio::test]
async fn a_sale_that_arrives_after_its_undoing_is_refused() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let id = inventory.reserve(order(&[("MUG", 2)])).await.unwrap().reservation_id;

    let restocked = inventory.restock(&id).await.unwrap();

    assert_eq!(restocked.state(), ReservationState::Restocked);
    let cancelled = broken_rule("CANCELLED_BEFORE_ARRIVAL");
    assert_eq!(refusal(inventory.commit(&id).await), cancelled);
    assert_eq!(inventory.release(&id).await.unwrap(), restocked);
    assert_eq!(inventory.stock("MUG").await.on_hand, 5);
    assert_eq!(inventory.told(&id).await, ["StockReserved", "StockRestocked"]);
    inventory.end().await;
}

#[tokio::test]
async fn held_and_sold_pieces_are_free_again_once_given_up() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let held = inventory.reserve(order(&[("MUG", 2)])).await.unwrap().reservation_id;
    let sold = inventory.reserve(order(&[("MUG", 3)])).await.unwrap().reservation_id;
    inventory.commit(&sold).await.unwrap();

    inventory.release(&held).await.unwrap();
    inventory.restock(&sold).await.unwrap();

    let stock = inventory.stock("MUG").await;
    assert_eq!((stock.on_hand, stock.reserved, stock.committed), (5, 0, 0));
    assert_eq!(inventory.told(&held).await, ["StockReserved", "StockReleased"]);
    assert_eq!(inventory.told(&sold).await, ["StockReserved", "StockCommitted", "StockRestocked"]);
    inventory.end().await;
}

#[tokio::test]
async fn pieces_that_have_left_are_not_given_up() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let id = inventory.reserve(order(&[("MUG", 2)])).await.unwrap().reservation_id;
    let unsold = refusal(inventory.ship(&id).await);
    inventory.commit(&id).await.unwrap();
    inventory.ship(&id).await.unwrap();

    assert_eq!(unsold, broken_rule("RESERVATION_NOT_COMMITTED"));
    let left = broken_rule("RESERVATION_SHIPPED");
    assert_eq!(refusal(inventory.release(&id).await), left);
    assert_eq!(refusal(inventory.restock(&id).await), left);
    assert_eq!(refusal(inventory.commit(&id).await), left);
    assert_eq!(inventory.stock("MUG").await.shipped, 2);
    inventory.end().await;
}
