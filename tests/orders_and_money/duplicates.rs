//! The same thing many times, and many at once.

use futures::{StreamExt as _, future::join_all, stream};
use shop::{
    common::v1::Money,
    inventory::v1::{ReservationLine, ReserveStockRequest},
    orders::v1::{CartLine, OrderState, PlaceOrderRequest, SetCartLinesRequest},
    payments::v1::AuthorizePaymentRequest,
    processor::v1::{AuthorizeChargeRequest, TokenizeCardRequest},
    shipping::v1::CreateShipmentRequest,
};
use tonic::{Code, Response, Status};

use crate::{
    evidence::{reason, step_key},
    shop::{GOOD_CARD, Shop, address, persist, uuid},
};

/// A7: the same PlaceOrder 50 times at once.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_equal_requests_at_once_make_one_order_one_charge_and_equal_answers() {
    let shop = Shop::open().await;
    let sku = shop.stocked(60).await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let clients: Vec<_> = (0..50).map(|_| shop.orders()).collect();

    // Each caller asks again while the order is carried out, and the cart cleared.
    let answers: Vec<_> = join_all(clients.into_iter().map(|orders| {
        let request = &request;
        async move {
            let mut answers = Vec::new();
            for _ in 0..4 {
                let answer =
                    persist("to place", async || orders.clone().place_order(request.clone()).await);
                answers.push(answer.await.unwrap().into_inner());
            }
            answers
        }
    }))
    .await
    .concat();

    let first = answers[0].order.clone().unwrap();
    assert_eq!(first.state(), OrderState::Pending);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let answered = [
        ("rpc_method", "shop.orders.v1.OrdersService/PlaceOrder"),
        ("rpc_response_status_code", "OK"),
    ];
    let calls = "rpc_server_call_duration_seconds_count";
    assert_eq!(shop.metric("orders", calls, &answered).await, 200.0);
    shop.comes_to(&first.order_id, OrderState::Confirmed).await;
    shop.rests(&first.order_id).await;

    // The cart is empty by now, and the answer is still the same.
    let late = shop.place(request).await.unwrap();
    assert_eq!(late, first);
    assert_eq!(shop.count("orders", "SELECT count(*) FROM orders").await, 1);
    assert_eq!(shop.count("processor", "SELECT count(*) FROM charges").await, 1);
    assert_eq!(shop.pieces(&sku).await, [59, 0, 1, 0]);
    shop.money_agrees(&first.order_id).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A8: a `request_id` that was used before comes with other content.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_with_other_content_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let other_card = shop.card(GOOD_CARD).await;
    let order = shop.place(request.clone()).await.unwrap();
    let order = shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;
    let settled = shop.order(&order.order_id).await;
    let before = shop.rows().await;

    let others = [
        PlaceOrderRequest { card_token: other_card, ..request.clone() },
        PlaceOrderRequest { address: Some(address("FR")), ..request.clone() },
        PlaceOrderRequest { cart_etag: "7".to_owned(), ..request.clone() },
    ];
    for other in others {
        differs("PlaceOrder", shop.orders().place_order(other).await);
    }
    the_callees_refuse_other_content_too(&shop, &order.order_id, &sku).await;

    assert_eq!(shop.rows().await, before);
    assert_eq!(shop.order(&order.order_id).await, settled);
    assert_eq!(shop.place(request).await.unwrap().order_id, order.order_id);
    shop.money_agrees(&order.order_id).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// The keys of the checkout's steps, each with content that the order never had.
async fn the_callees_refuse_other_content_too(shop: &Shop, order_id: &str, sku: &str) {
    let amount = Some(Money { currency_code: "EUR".to_owned(), units: 1, nanos: 0 });
    let order_id = order_id.to_owned();
    let reserve = ReserveStockRequest {
        request_id: step_key(&order_id, "reserve"),
        order_id: order_id.clone(),
        lines: vec![ReservationLine { sku: sku.to_owned(), quantity: 2 }],
        hold: None,
    };
    differs("ReserveStock", shop.inventory().reserve_stock(reserve).await);
    let payment_id = step_key(&order_id, "authorize");
    let authorize = AuthorizePaymentRequest {
        request_id: payment_id.clone(),
        order_id: order_id.clone(),
        amount: amount.clone(),
        card_token: "other".to_owned(),
    };
    differs("AuthorizePayment", shop.payments().authorize_payment(authorize).await);
    let card_token = "other".to_owned();
    let charge = AuthorizeChargeRequest { request_id: payment_id, card_token, amount };
    differs("AuthorizeCharge", shop.processor().authorize_charge(charge).await);
    let request_id = step_key(&order_id, "create_shipment");
    let ship = CreateShipmentRequest {
        request_id,
        order_id,
        address: Some(address("FR")),
        ..CreateShipmentRequest::default()
    };
    differs("CreateShipment", shop.shipping().create_shipment(ship).await);
}

/// A8, for what is no step of a checkout: carts and cards.
#[tokio::test(flavor = "multi_thread")]
async fn a_cart_and_a_card_keep_their_first_content_under_their_request_id() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let lines = |quantity| vec![CartLine { sku: sku.clone(), quantity }];
    let (request_id, customer_id, etag) = (uuid(), uuid(), String::new());
    let cart = SetCartLinesRequest { request_id, customer_id, lines: lines(1), etag };
    let kept = shop.carts().set_cart_lines(cart.clone()).await.unwrap().into_inner();
    let (request_id, card_number) = (uuid(), GOOD_CARD.to_owned());
    let card = TokenizeCardRequest { request_id, card_number, expiry_month: 1, expiry_year: 2040 };
    let token = shop.cards().tokenize_card(card.clone()).await.unwrap().into_inner();
    let before = shop.rows().await;

    let other = SetCartLinesRequest { lines: lines(2), ..cart.clone() };
    differs("SetCartLines", shop.carts().set_cart_lines(other).await);
    let other = TokenizeCardRequest { expiry_month: 2, ..card.clone() };
    differs("TokenizeCard", shop.cards().tokenize_card(other).await);

    assert_eq!(shop.carts().set_cart_lines(cart).await.unwrap().into_inner(), kept);
    assert_eq!(shop.cards().tokenize_card(card).await.unwrap().into_inner(), token);
    assert_eq!(shop.rows().await, before);
    shop.platform.shutdown().await;
}

fn differs<T: std::fmt::Debug>(rpc: &str, answer: Result<Response<T>, Status>) {
    let refused = answer.expect_err(rpc);
    assert_eq!(refused.code(), Code::FailedPrecondition, "{rpc}: {refused:?}");
    assert_eq!(reason(&refused), "REQUEST_CONTENT_DIFFERS", "{rpc}");
}

/// A9: 200 orders at once, from as many customers, for 100 pieces of one product.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_orders_for_a_hundred_pieces_sell_exactly_a_hundred() {
    let shop = Shop::open().await;
    let sku = shop.stocked(100).await;
    let requests: Vec<PlaceOrderRequest> = stream::iter(0..200)
        .map(|_| shop.order_of(&sku, 1, GOOD_CARD))
        .buffer_unordered(16)
        .collect()
        .await;
    let orders = shop.orders();

    let placed = join_all(requests.iter().map(|request| {
        let orders = orders.clone();
        async move {
            let placed =
                persist("to place", async || orders.clone().place_order(request.clone()).await);
            placed.await.unwrap().into_inner().order.unwrap()
        }
    }))
    .await;
    shop.quiet().await;

    let mut confirmed = 0;
    for order in &placed {
        let order = shop.money_agrees(&order.order_id).await;
        match order.state() {
            OrderState::Confirmed => confirmed += 1,
            state => {
                assert_eq!(state, OrderState::Rejected);
                assert_eq!(order.reason.unwrap().reason, "OUT_OF_STOCK");
            }
        }
    }
    assert_eq!((placed.len(), confirmed), (200, 100));
    assert_eq!(shop.steps("reserve", "refused").await, 100.0);
    assert_eq!(shop.pieces(&sku).await, [0, 0, 100, 0]);
    let held = "SELECT count(*) FROM reservations WHERE state = 'reserved'";
    assert_eq!(shop.count("inventory", held).await, 0, "no hold is left over");
    let charged = "SELECT count(*) FROM charges WHERE captured_minor > 0";
    assert_eq!(shop.count("processor", charged).await, 100);
    assert_eq!(shop.count("processor", "SELECT count(*) FROM charges").await, 100);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}
