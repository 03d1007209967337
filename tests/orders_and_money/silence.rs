//! No answer: lost, late, or for ever.

use mesh_testkit::eventually;
use shop::{
    inventory::v1::{ReservationLine, ReservationState, ReserveStockRequest},
    orders::v1::OrderState,
    payments::v1::PaymentState,
    processor::v1::ChargeState,
};

use super::{LOSES_FIRST_ANSWERS, LOSES_FIRST_REQUESTS, reservation_is};
use crate::{
    evidence::minor,
    shop::{GOOD_CARD, Shop, uuid},
};

const CHARGES: &str = "SELECT count(*) FROM charges";

/// A4: payments dies when the processor has answered and the answer is not committed yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_payments_after_the_processors_answer_charges_once() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let payments = shop.platform.service("payments");
    for (point, method) in [
        ("authorize:after_call", "AuthorizeCharge"),
        ("authorize:before_commit", "AuthorizeCharge"),
        ("capture:after_call", "CaptureCharge"),
        ("capture:before_commit", "CaptureCharge"),
    ] {
        let method = format!("shop.processor.v1.ProcessorService/{method}");
        let asked = [("rpc_method", method.as_str())];
        let calls = "rpc_server_call_duration_seconds_count";
        let before = shop.metric("processor", calls, &asked).await;
        let request = shop.order_of(&sku, 1, GOOD_CARD).await;
        let starts = payments.arm(point).await;

        let order = shop.place(request).await.unwrap();
        payments.restarted(starts).await;
        shop.comes_to(&order.order_id, OrderState::Confirmed).await;
        shop.rests(&order.order_id).await;

        // The answer was lost with the process, so the processor was asked again.
        assert!(shop.metric("processor", calls, &asked).await >= before + 2.0, "{point}");
        shop.money_agrees(&order.order_id).await;
    }
    assert_eq!(shop.count("processor", CHARGES).await, 4);
    assert_eq!(shop.pieces(&sku).await, [5, 0, 4, 0]);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A5: the processor does not answer, and has charged; or does not answer, and has not.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_found_by_asking_again() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    for (n, card) in [LOSES_FIRST_ANSWERS, LOSES_FIRST_REQUESTS].into_iter().enumerate() {
        let order = shop.place(shop.order_of(&sku, 1, card).await).await.unwrap();
        let order = shop.comes_to(&order.order_id, OrderState::Confirmed).await;
        shop.rests(&order.order_id).await;

        // The first answers of the authorization and of the capture never came.
        let lost = i64::try_from(n + 1).unwrap() * 2;
        assert_eq!(shop.count("processor", "SELECT count(*) FROM lost_answers").await, lost);
        shop.money_agrees(&order.order_id).await;
        let charge = shop.charge(&order.order_id).await.unwrap();
        assert_eq!(charge.captured, order.total);
    }
    let unavailable = [("rpc_response_status_code", "UNAVAILABLE")];
    let calls = "rpc_server_call_duration_seconds_count";
    assert!(shop.metric("processor", calls, &unavailable).await >= 4.0);
    assert_eq!(shop.count("processor", CHARGES).await, 2);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A5: the processor is silent for longer than a step may take, then says "charged".
#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_that_stays_unknown_is_undone_and_never_charged() {
    let shop = Shop::open_with(|it| it.env("orders", "CHECKOUT_STEP_LIMIT_SECONDS", "1")).await;
    let sku = shop.stocked(9).await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let processor = shop.platform.service("processor");
    processor.stop();

    let order = shop.place(request).await.unwrap();
    let id = order.order_id.as_str();
    eventually("the checkout to turn back", async || {
        let payment = shop.payment(id).await;
        payment.is_some_and(|payment| payment.state() == PaymentState::Undoing)
    })
    .await;
    assert_eq!(shop.order(id).await.state(), OrderState::Pending, "nothing is known yet");
    processor.cont();

    let order = shop.settled(id).await;
    assert_eq!(order.state(), OrderState::Rejected);
    assert_eq!(order.reason.unwrap().reason, "CHECKOUT_TIMED_OUT");
    assert_eq!(shop.steps("authorize", "out_of_time").await, 1.0);
    let charge = shop.charge(id).await.unwrap();
    assert_eq!((charge.state(), minor(charge.captured.as_ref())), (ChargeState::Voided, 0));
    shop.money_agrees(id).await;
    assert_eq!(shop.pieces(&sku).await, [9, 0, 0, 0]);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A10: the hold ends while the saga sleeps, and somebody else has taken the pieces.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_hold_ended_is_rejected_when_the_pieces_are_gone() {
    let shop = Shop::open_with(|it| it.env("orders", "RESERVATION_HOLD_SECONDS", "1")).await;
    let (sku, id) = an_order_that_sleeps_until_its_hold_has_ended(&shop).await;
    let other = ReserveStockRequest {
        request_id: uuid(),
        order_id: uuid(),
        lines: vec![ReservationLine { sku: sku.clone(), quantity: 4 }],
        hold: None,
    };
    shop.inventory().reserve_stock(other).await.unwrap();
    shop.platform.service("payments").cont();

    let order = shop.settled(&id).await;
    assert_eq!(order.state(), OrderState::Rejected);
    assert_eq!(order.reason.unwrap().reason, "OUT_OF_STOCK");
    assert_eq!(shop.steps("commit", "refused").await, 1.0);
    assert_eq!(shop.charge(&id).await.unwrap().state(), ChargeState::Voided);
    shop.money_agrees(&id).await;
    // Reserved, expired, restocked: never committed.
    reservation_is(&shop, &id, ReservationState::Restocked, 3).await;
    assert_eq!(shop.pieces(&sku).await, [1, 4, 0, 0]);
    shop.platform.shutdown().await;
}

/// A10: the hold ends while the saga sleeps, and the pieces are still there.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_hold_ended_takes_the_pieces_again_when_they_are_there() {
    let shop = Shop::open_with(|it| it.env("orders", "RESERVATION_HOLD_SECONDS", "1")).await;
    let (sku, id) = an_order_that_sleeps_until_its_hold_has_ended(&shop).await;
    shop.platform.service("payments").cont();

    let order = shop.settled(&id).await;
    assert_eq!(order.state(), OrderState::Confirmed);
    shop.rests(&id).await;
    shop.money_agrees(&id).await;
    // Reserved, expired, committed.
    reservation_is(&shop, &id, ReservationState::Committed, 3).await;
    assert_eq!(shop.pieces(&sku).await, [3, 0, 2, 0]);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// An order of 2 of 5 pieces; payments is stopped.
async fn an_order_that_sleeps_until_its_hold_has_ended(shop: &Shop) -> (String, String) {
    let sku = shop.stocked(5).await;
    let request = shop.order_of(&sku, 2, GOOD_CARD).await;
    shop.platform.service("payments").stop();
    let order = shop.place(request).await.unwrap();
    eventually("the hold to end", async || {
        let reservation = shop.reservation(&order.order_id).await;
        reservation.is_some_and(|it| it.state() == ReservationState::Expired)
    })
    .await;
    assert_eq!(shop.pieces(&sku).await, [5, 0, 0, 0]);
    (sku, order.order_id)
}
