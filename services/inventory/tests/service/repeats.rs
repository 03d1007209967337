//! The same request again: the first answer again, and nothing more.

use futures::future::join_all;
use shop::inventory::v1::{
    GetReservationRequest, GetStockRequest, ReceiveStockRequest, ReservationState,
    ReserveStockRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::inventory::{Inventory, broken_rule, order, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_equal_requests_at_once_make_one_reservation() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    inventory.receive("MUG", 100).await;
    let request = order(&[("MUG", 2)]);

    let ask = |n: usize| {
        let mut client =
            if n.is_multiple_of(2) { inventory.client.clone() } else { second.clone() };
        let request = request.clone();
        async move { client.reserve_stock(request).await.unwrap().into_inner() }
    };
    let answers = join_all((0..50).map(ask)).await;

    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(inventory.stock("MUG").await.reserved, 2);
    assert_eq!(inventory.told(&request.request_id).await, ["StockReserved"]);
    inventory.end().await;
}

#[tokio::test]
async fn a_request_id_with_other_content_is_refused() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 100).await;
    let request = order(&[("MUG", 2)]);
    let id = request.request_id.clone();
    inventory.reserve(request.clone()).await.unwrap();
    let other = inventory.reserve(order(&[("MUG", 1)])).await.unwrap();
    let key = Uuid::now_v7().to_string();
    inventory.commit_as(&key, &id).await.unwrap();
    let before = inventory.rows().await;

    let mut changed = request;
    changed.lines[0].quantity = 3;
    let differs = broken_rule("REQUEST_CONTENT_DIFFERS");
    assert_eq!(refusal(inventory.reserve(changed).await), differs);
    assert_eq!(refusal(inventory.commit_as(&key, &other.reservation_id).await), differs);

    assert_eq!(inventory.rows().await, before, "nothing changed");
    inventory.end().await;
}

#[tokio::test]
async fn a_repeated_step_is_answered_as_it_was_then() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 100).await;
    let request = order(&[("MUG", 2)]);
    let reserved = inventory.reserve(request.clone()).await.unwrap();
    let (id, key) = (reserved.reservation_id.clone(), Uuid::now_v7().to_string());
    let committed = inventory.commit_as(&key, &id).await.unwrap();
    let shipped = inventory.ship(&id).await.unwrap();

    // Whoever asks again may be set to hold for longer by now.
    let hold = Some(prost_types::Duration { seconds: 1200, nanos: 0 });
    for hold in [request.hold, hold] {
        let request = ReserveStockRequest { hold, ..request.clone() };
        assert_eq!(inventory.reserve(request).await.unwrap(), reserved);
    }
    assert_eq!(inventory.commit_as(&key, &id).await.unwrap(), committed);

    assert_eq!(shipped.state(), ReservationState::Shipped);
    assert_eq!(inventory.reservation(&id).await, shipped);
    assert_eq!(inventory.told(&id).await, ["StockReserved", "StockCommitted", "StockShipped"]);
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_delivery_is_counted_once_and_answered_as_the_first() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    let request = ReceiveStockRequest {
        request_id: Uuid::now_v7().to_string(),
        sku: "MUG".to_owned(),
        quantity: 7,
    };

    let deliver = |n: usize| {
        let mut client =
            if n.is_multiple_of(2) { inventory.client.clone() } else { second.clone() };
        let request = request.clone();
        async move { client.receive_stock(request).await.unwrap().into_inner().stock.unwrap() }
    };
    let first = join_all((0..20).map(deliver)).await;
    inventory.reserve(order(&[("MUG", 3)])).await.unwrap();
    let again = deliver(0).await;
    let other = ReceiveStockRequest { sku: "CUP".to_owned(), ..request.clone() };
    let refused = inventory.client.clone().receive_stock(other).await;

    assert!(first.iter().all(|stock| *stock == again), "{first:?} {again:?}");
    assert_eq!((again.on_hand, again.received), (7, 7));
    assert_eq!(inventory.stock("MUG").await.on_hand, 4);
    assert_eq!(refusal(refused), broken_rule("REQUEST_CONTENT_DIFFERS"));
    let unknown =
        inventory.client.clone().get_stock(GetStockRequest { sku: "CUP".to_owned() }).await;
    let not_found = (Code::NotFound, "SKU_NOT_FOUND".to_owned(), Some("CUP".to_owned()));
    assert_eq!(refusal(unknown), not_found);
    inventory.end().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let inventory = Inventory::start().await;
    let id = Uuid::now_v7().to_string();
    let not_found = (Code::NotFound, "RESERVATION_NOT_FOUND".to_owned(), None);

    let request = GetReservationRequest { reservation_id: id.clone() };
    assert_eq!(refusal(inventory.client.clone().get_reservation(request).await), not_found);
    assert_eq!(refusal(inventory.commit(&id).await), not_found);
    assert_eq!(refusal(inventory.ship(&id).await), not_found);

    assert_eq!(inventory.rows().await, 0);
    inventory.end().await;
}
