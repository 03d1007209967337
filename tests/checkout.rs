//! A customer orders, and the order settles.

use shop::{
    orders::v1::{OrderState, WatchOrderRequest},
    shipping::v1::{RecordCarrierUpdateRequest, ShipmentState},
};
use uuid::Uuid;

use crate::shop::{GOOD_CARD, Shop, address, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_confirmed_and_its_story_is_told() {
    let shop = Shop::open().await;
    let order = shop.simple_order().await;

    let request = WatchOrderRequest { order_id: order.order_id.clone(), after_version: 0 };
    let mut watch = shop.orders().watch_order(request).await.unwrap().into_inner();
    let mut states = Vec::new();
    while let Some(change) = watch.message().await.unwrap() {
        let change = change.change.unwrap();
        states.push(change.state());
        if change.state() == OrderState::Confirmed {
            break;
        }
    }

    assert_eq!(order.state(), OrderState::Pending);
    assert_eq!(states, [OrderState::Pending, OrderState::Confirmed]);
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_rejects_the_order_and_gives_the_stock_back() {
    let shop = Shop::open().await;
    let sku = shop.stocked(5).await;
    let request = shop.order_of(&sku, 2, "4000000000009995").await;

    let order = shop.place(request).await.unwrap();
    let order = shop.settled(&order.order_id).await;

    assert_eq!(order.state(), OrderState::Rejected);
    let reason = order.reason.unwrap();
    assert_eq!(
        (reason.reason.as_str(), reason.detail.as_str()),
        ("CARD_DECLINED", "INSUFFICIENT_FUNDS")
    );
    let stock = shop.stock(&sku).await;
    assert_eq!((stock.on_hand, stock.reserved, stock.committed), (5, 0, 0));
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipment_that_is_refused_voids_the_authorization() {
    let shop = Shop::open().await;
    let sku = shop.stocked(5).await;
    let mut request = shop.order_of(&sku, 1, GOOD_CARD).await;
    request.address = Some(address("AQ"));

    let order = shop.place(request).await.unwrap();
    let order = shop.settled(&order.order_id).await;

    assert_eq!(order.state(), OrderState::Rejected);
    assert_eq!(order.reason.unwrap().reason, "ADDRESS_NOT_SERVED");
    assert_eq!(shop.stock(&sku).await.on_hand, 5);
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_parcel_is_refunded_and_written_off() {
    let shop = Shop::open().await;
    let order = shop.simple_order().await;
    let sku = order.lines[0].sku.clone();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    let id = Uuid::parse_str(&order.order_id).unwrap();
    let shipment_id = Uuid::new_v5(&id, b"create_shipment").to_string();

    for state in [ShipmentState::Dispatched, ShipmentState::Lost] {
        mesh_testkit::eventually("the carrier's report to be taken", async || {
            let update = RecordCarrierUpdateRequest {
                request_id: uuid(),
                shipment_id: shipment_id.clone(),
                state: state.into(),
            };
            shop.shipping().record_carrier_update(update).await.is_ok()
        })
        .await;
    }

    shop.comes_to(&order.order_id, OrderState::Lost).await;
    mesh_testkit::eventually("the loss to be written off", async || {
        let stock = shop.stock(&sku).await;
        (stock.lost, stock.shipped, stock.committed) == (1, 0, 0)
    })
    .await;
    shop.platform.shutdown().await;
}
