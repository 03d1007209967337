//! Shipping's relay, killed on both sides of a publication while orders are placed.
//!
//! The row is in the log, and its message not yet, or already, in the stream. Whoever takes shipping's
//! events must see each of them take effect, once.

use futures::future::join_all;
use shop::{orders::v1::OrderState, shipping::v1::ShipmentState};

use crate::{
    orders_and_money::report,
    shop::{GOOD_CARD, Shop, persist},
};

const POINTS: [&str; 2] = ["relay:before_publish", "relay:after_publish"];
/// Orders that are placed around each crash.
const ORDERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_around_a_publication_loses_and_repeats_no_event() {
    let shop = Shop::open().await;
    let sku = shop.stocked(100).await;
    let before = shop.stock(&sku).await;
    let shipping = shop.platform.service("shipping");

    for point in POINTS {
        let requests = join_all((0..ORDERS).map(|_| shop.order_of(&sku, 1, GOOD_CARD))).await;
        let starts = shipping.arm(point).await;
        let placed = join_all(
            requests
                .iter()
                .map(|request| persist("to place", async || shop.place(request.clone()).await)),
        )
        .await;
        shipping.restarted(starts).await;
        shipping.ready().await;
        for order in placed {
            let id = order.unwrap().order_id;
            shop.comes_to(&id, OrderState::Confirmed).await;
            shop.rests(&id).await;
            report(&shop, &id, ShipmentState::Dispatched).await.unwrap();
            shop.comes_to(&id, OrderState::Shipped).await;
        }
    }

    let shipped = before.shipped + i64::try_from(POINTS.len() * ORDERS).unwrap();
    mesh_testkit::eventually("all pieces to have left", async || {
        let after = shop.stock(&sku).await;
        (after.shipped, after.committed) == (shipped, before.committed)
    })
    .await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}
