//! What `/metrics` says of the shop's own business: orders, money and stock.

use shop::orders::v1::{CancelOrderRequest, Order, OrderState, PlaceOrderRequest};

use crate::{
    evidence::minor,
    shop::{GOOD_CARD, Shop, uuid},
};

const DECLINED_CARD: &str = "4000000000009995";
const ENDED: &str = "shop_orders_ended_total";
const CAPTURED: &str = "shop_payments_captured_total";
const REFUNDED: &str = "shop_payments_refunded_total";
const STOCK_OUTS: &str = "shop_inventory_stock_outs_total";

#[tokio::test(flavor = "multi_thread")]
async fn ends_of_orders_money_and_stock_outs_are_counted_once_each() {
    let shop = Shop::open().await;
    let sku = shop.stocked(10).await;
    let on_hand = shop.stock(&sku).await.on_hand;

    let bought = checked_out(&shop, shop.order_of(&sku, 2, GOOD_CARD).await).await;
    let declined = checked_out(&shop, shop.order_of(&sku, 1, DECLINED_CARD).await).await;
    let too_many = checked_out(&shop, shop.order_of(&sku, on_hand + 1, GOOD_CARD).await).await;
    let returned = checked_out(&shop, shop.order_of(&sku, 3, GOOD_CARD).await).await;
    cancel(&shop, &returned.order_id).await;

    assert_eq!(bought.state(), OrderState::Confirmed);
    let reasons = [declined, too_many].map(|order| order.reason.unwrap().reason);
    assert_eq!(reasons, ["CARD_DECLINED", "OUT_OF_STOCK"]);
    let ends = [
        ("CONFIRMED", "none", 2.0),
        ("REJECTED", "CARD_DECLINED", 1.0),
        ("REJECTED", "OUT_OF_STOCK", 1.0),
        ("CANCELLED", "none", 1.0),
    ];
    for (state, reason, times) in ends {
        let labels = [("state", state), ("reason", reason)];
        let counted = shop.metric("orders", ENDED, &labels).await;
        assert_eq!(counted, times, "{state} {reason}");
    }
    assert_eq!(shop.metric("orders", ENDED, &[]).await, 5.0, "and no other end");

    let (kept, given_back) = (minor(bought.total.as_ref()), minor(returned.total.as_ref()));
    assert!(kept > 0 && given_back > kept, "{kept} {given_back}");
    let currency = bought.total.unwrap().currency_code;
    for (metric, moved) in [(CAPTURED, kept + given_back), (REFUNDED, given_back)] {
        let of_currency = shop.metric("payments", metric, &[("currency", currency.as_str())]).await;
        assert_eq!(of_currency, moved as f64, "{metric} of {currency}");
        assert_eq!(shop.metric("payments", metric, &[]).await, moved as f64, "{metric}");
    }
    assert_eq!(shop.metric("inventory", STOCK_OUTS, &[]).await, 1.0);
    durations(&shop).await;
    shop.platform.shutdown().await;
}

/// How long checkouts and their steps take, the engine tells: no metric of the shop's own is needed.
async fn durations(shop: &Shop) {
    for (step, times) in [("reserve", 4.0), ("authorize", 3.0), ("capture", 2.0), ("release", 2.0)]
    {
        let metric = "mesh_saga_step_duration_seconds_count";
        assert_eq!(shop.metric("orders", metric, &[("step", step)]).await, times, "{step}");
    }
    // Both were CONFIRMED in less than the longest time that is told apart.
    let confirmed = "mesh_saga_step_reached_seconds_bucket";
    let in_time = [("step", "capture"), ("le", "60")];
    assert_eq!(shop.metric("orders", confirmed, &in_time).await, 2.0);
}

/// The order, once its checkout has ended and nothing is left to undo.
async fn checked_out(shop: &Shop, request: PlaceOrderRequest) -> Order {
    let order_id = shop.place(request).await.unwrap().order_id;
    let order = shop.settled(&order_id).await;
    shop.rests(&order_id).await;
    order
}

async fn cancel(shop: &Shop, order_id: &str) {
    let request = CancelOrderRequest { request_id: uuid(), order_id: order_id.to_owned() };
    shop.orders().cancel_order(request).await.unwrap();
    shop.comes_to(order_id, OrderState::Cancelled).await;
    shop.rests(order_id).await;
}
