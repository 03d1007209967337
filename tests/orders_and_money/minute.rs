//! A minute without the broker.

use std::time::{Duration, Instant};

use mesh_testkit::eventually;
use shop::{
    orders::v1::{OrderConfirmed, OrderShipped, OrderState},
    shipping::v1::ShipmentState,
};

use super::report;
use crate::shop::{GOOD_CARD, Shop};

/// How long the broker is away.
const AWAY: Duration = Duration::from_secs(60);
/// A customer comes so often.
const EVERY: Duration = Duration::from_secs(3);

/// B1: customers notice nothing, and what is to be told is told afterwards, with one effect each.
#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_the_broker_holds_up_what_is_told_and_no_order() {
    let shop = Shop::open().await;
    let sku = shop.stocked(100).await;
    let mut orders = Vec::new();

    shop.platform.nats().down().await;
    let down = Instant::now();
    while down.elapsed() < AWAY {
        let order = shop.place(shop.order_of(&sku, 2, GOOD_CARD).await).await.unwrap();
        shop.comes_to(&order.order_id, OrderState::Confirmed).await;
        shop.rests(&order.order_id).await;
        report(&shop, &order.order_id, ShipmentState::Dispatched).await.unwrap();
        orders.push(order.order_id);
        tokio::time::sleep(EVERY).await;
    }
    // Nobody has heard that the parcels left.
    for id in &orders {
        assert_eq!(shop.order(id).await.state(), OrderState::Confirmed);
    }
    shop.platform.nats().up().await;

    for id in &orders {
        shop.comes_to(id, OrderState::Shipped).await;
        let _: OrderConfirmed = shop.told(id).await;
        let _: OrderShipped = shop.told(id).await;
        assert_eq!(shop.money_agrees(id).await.state(), OrderState::Shipped);
    }
    let shipped = i64::try_from(orders.len()).unwrap() * 2;
    eventually("the pieces to have left, once each", async || {
        shop.pieces(&sku).await == [100 - shipped, 0, 0, shipped]
    })
    .await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}
