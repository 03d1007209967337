//! Lists of orders, whatever happens to the service that keeps them.

use mesh_testkit::eventually;
use shop::orders::v1::{ListOrdersRequest, OrderState, OrderSummary};

use crate::shop::{GOOD_CARD, Shop, persist};

async fn listed(shop: &Shop) -> Vec<OrderSummary> {
    let answer = shop.order_queries().list_orders(ListOrdersRequest::default()).await;
    answer.map(|answer| answer.into_inner().orders).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_right_although_its_service_died_while_it_was_written() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let service = shop.platform.service("orders");
    let mut placed = Vec::new();
    for point in ["order_view:before_commit", "order_view:after_commit"] {
        let request = shop.order_of(&sku, 1, GOOD_CARD).await;
        let starts = service.arm(point).await;
        let order = persist("to place", async || shop.place(request.clone()).await);
        let order = order.await.unwrap();
        service.restarted(starts).await;
        shop.comes_to(&order.order_id, OrderState::Confirmed).await;
        shop.rests(&order.order_id).await;
        placed.insert(0, order.order_id);
    }

    let orders = eventually("both orders to be listed as they are", async || {
        let orders = listed(&shop).await;
        let done = orders.iter().all(|order| order.state() == OrderState::Confirmed);
        (orders.len() == 2 && done).then_some(orders)
    })
    .await;

    let ids: Vec<_> = orders.iter().map(|order| order.order_id.clone()).collect();
    assert_eq!(ids, placed);
    // The auditor replays the log, and compares.
    shop.audit_at_rest().await;
    shop.platform.shutdown().await;
}
