//! Somebody says no: the carrier, the card, or fate.

use mesh_testkit::eventually;
use shop::{
    inventory::v1::ReservationState,
    orders::v1::{
        GetCartRequest, OrderLost, OrderReason, OrderRefunded, OrderRejected, OrderState,
        PlaceOrderRequest,
    },
    payments::v1::{PaymentAuthorized, PaymentState, PaymentVoided},
    processor::v1::ChargeState,
    shipping::v1::ShipmentState,
};

use super::{REFUSES_CAPTURE, report, reservation_is};
use crate::{
    evidence::{minor, step_key},
    shop::{GOOD_CARD, Shop, address, uuid},
};

/// A1: the shipment is refused after the payment was authorized.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_where_nobody_delivers_is_rejected_and_the_authorization_voided() {
    let shop = Shop::open().await;
    let sku = shop.stocked(5).await;
    let mut request = shop.order_of(&sku, 2, GOOD_CARD).await;
    request.address = Some(address("AQ"));

    let order = shop.place(request.clone()).await.unwrap();
    let order = shop.settled(&order.order_id).await;

    let id = order.order_id.as_str();
    assert_eq!(order.state(), OrderState::Rejected);
    assert_eq!(order.reason.unwrap().reason, "ADDRESS_NOT_SERVED");
    assert_eq!(shop.steps("create_shipment", "refused").await, 1.0);
    let payment_id = step_key(id, "authorize");
    let authorized: PaymentAuthorized = shop.told(&payment_id).await;
    assert_eq!(authorized.amount, order.total);
    let _: PaymentVoided = shop.told(&payment_id).await;
    assert_eq!(shop.payment(id).await.unwrap().state(), PaymentState::Undone);
    assert_eq!(shop.charge(id).await.unwrap().state(), ChargeState::Voided);
    shop.money_agrees(id).await;
    reservation_is(&shop, id, ReservationState::Released, 2).await;
    assert_eq!(shop.pieces(&sku).await, [5, 0, 0, 0]);
    let rejected: OrderRejected = shop.told(id).await;
    assert_eq!(rejected.reason.unwrap().reason, "ADDRESS_NOT_SERVED");
    the_cart_can_be_ordered_again(&shop, request).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// The cart was kept with its etag, and is nobody's.
async fn the_cart_can_be_ordered_again(shop: &Shop, refused: PlaceOrderRequest) {
    let request = GetCartRequest { customer_id: refused.customer_id.clone() };
    let cart = shop.carts().get_cart(request).await.unwrap().into_inner().cart.unwrap();
    assert_eq!((cart.lines.len(), &cart.etag), (1, &refused.cart_etag));
    let again = PlaceOrderRequest { request_id: uuid(), address: Some(address("DE")), ..refused };
    let order = shop.place(again).await.unwrap();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;
    shop.money_agrees(&order.order_id).await;
}

/// A2: the capture is refused after the stock was committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_capture_restocks_cancels_the_parcel_and_voids_the_authorization() {
    let shop = Shop::open().await;
    let sku = shop.stocked(5).await;
    let request = shop.order_of(&sku, 2, REFUSES_CAPTURE).await;

    let order = shop.place(request).await.unwrap();
    let order = shop.settled(&order.order_id).await;

    let id = order.order_id.as_str();
    assert_eq!(order.state(), OrderState::Rejected);
    assert_eq!(order.reason.unwrap().reason, "CAPTURE_REFUSED");
    assert_eq!(shop.steps("capture", "refused").await, 1.0);
    // Reserved, committed, restocked.
    reservation_is(&shop, id, ReservationState::Restocked, 3).await;
    assert_eq!(shop.pieces(&sku).await, [5, 0, 0, 0]);
    assert_eq!(shop.shipment(id).await.unwrap().state(), ShipmentState::Cancelled);
    assert_eq!(shop.payment(id).await.unwrap().state(), PaymentState::Undone);
    assert_eq!(shop.charge(id).await.unwrap().state(), ChargeState::Voided);
    shop.money_agrees(id).await;
    let rejected: OrderRejected = shop.told(id).await;
    assert_eq!(rejected.reason.unwrap().reason, "CAPTURE_REFUSED");
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A2: the carrier loses the parcel, and the processor refuses the first refund of the card.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_parcel_is_refunded_although_the_first_refund_is_refused() {
    let shop = Shop::open().await;
    let sku = shop.stocked(5).await;
    let request = shop.order_of(&sku, 2, "4000000000000382").await;
    let order = shop.place(request).await.unwrap();
    let id = order.order_id.as_str();
    shop.comes_to(id, OrderState::Confirmed).await;
    shop.rests(id).await;

    report(&shop, id, ShipmentState::Dispatched).await.unwrap();
    report(&shop, id, ShipmentState::Lost).await.unwrap();

    shop.comes_to(id, OrderState::Lost).await;
    let lost: OrderLost = shop.told(id).await;
    let refunded: OrderRefunded = shop.told(id).await;
    assert_eq!((&lost.refund, &refunded.refund), (&order.total, &order.total));
    shop.rests(id).await;
    shop.money_agrees(id).await;
    eventually("the loss to be written off", async || shop.stock(&sku).await.lost == 2).await;
    assert_eq!(shop.pieces(&sku).await, [3, 0, 0, 0]);
    let refused = "SELECT count(*) FROM charges WHERE refund_refused";
    assert_eq!(shop.count("processor", refused).await, 1);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A6: the card is declined, for every reason that the sandbox knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_releases_the_stock_and_tells_the_customer_why() {
    let shop = Shop::open().await;
    let sku = shop.stocked(10).await;
    for (card, why) in [
        ("4000000000000002", "GENERIC_DECLINE"),
        ("4000000000009995", "INSUFFICIENT_FUNDS"),
        ("4000000000000069", "EXPIRED_CARD"),
        ("4000000000009979", "STOLEN_CARD"),
        ("5555555555554444", "CARD_UNKNOWN"),
    ] {
        let order = shop.place(shop.order_of(&sku, 2, card).await).await.unwrap();
        let order = shop.settled(&order.order_id).await;

        let id = order.order_id.as_str();
        assert_eq!(order.state(), OrderState::Rejected);
        let reason = "CARD_DECLINED".to_owned();
        let expected = Some(OrderReason { reason, detail: why.to_owned() });
        assert_eq!(order.reason, expected);
        let rejected: OrderRejected = shop.told(id).await;
        assert_eq!(rejected.reason, expected);
        let charge = shop.charge(id).await.unwrap();
        assert_eq!((charge.state(), charge.decline_reason.as_str()), (ChargeState::Declined, why));
        assert_eq!(shop.payment(id).await.unwrap().state(), PaymentState::Declined);
        assert_eq!(minor(charge.captured.as_ref()), 0);
        shop.money_agrees(id).await;
        reservation_is(&shop, id, ReservationState::Released, 2).await;
    }
    assert_eq!(shop.steps("authorize", "refused").await, 5.0);
    assert_eq!(shop.pieces(&sku).await, [10, 0, 0, 0]);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}
