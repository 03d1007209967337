//! A13: the customer cancels, at every moment of an order's life.

use futures::future::join_all;
use mesh_testkit::eventually;
use shop::{
    inventory::v1::ReservationState,
    orders::v1::{OrderCancelRefused, OrderCancelled, OrderShipped, OrderState},
    payments::v1::PaymentState,
    processor::v1::ChargeState,
    shipping::v1::ShipmentState,
};
use tonic::Code;

use super::{cancel, report, reservation_is};
use crate::{
    evidence::{minor, reason},
    shop::{GOOD_CARD, Shop},
};

const STEPS: [&str; 6] =
    ["reserve", "authorize", "create_shipment", "commit", "capture", "release_shipment"];

/// A13: cancelled while each step is running at a callee that has stopped.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cancelled_during_a_step_undoes_that_step_too() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    for step in STEPS {
        let (id, callee) = held_at(&shop, &sku, step).await;

        let answer = cancel(&shop, &id).await.unwrap().order.unwrap();
        assert_eq!(answer.state(), OrderState::Cancelling, "{step}");
        shop.platform.service(callee).cont();

        ends_cancelled(&shop, &sku, &id, step).await;
        it_was_done_and_undone(&shop, &id, step).await;
    }
    assert_eq!(shop.metric("orders", "mesh_saga_conflicts_total", &[]).await, 6.0);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A13 and A15: as before, and orders dies, so that the undo can overtake the action.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_survives_the_death_of_orders_during_a_step() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let orders = shop.platform.service("orders");
    for step in STEPS {
        let (id, callee) = held_at(&shop, &sku, step).await;
        cancel(&shop, &id).await.unwrap();

        orders.kill().await;
        orders.ready().await;
        shop.platform.service(callee).cont();

        ends_cancelled(&shop, &sku, &id, step).await;
    }
    assert_eq!(orders.starts(), 7);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// An order whose checkout has called this step, and the callee, which is stopped.
async fn held_at(shop: &Shop, sku: &str, step: &str) -> (String, &'static str) {
    let [inventory, payments, shipping] =
        ["inventory", "payments", "shipping"].map(|name| shop.platform.service(name));
    let request = shop.order_of(sku, 2, GOOD_CARD).await;
    let first = match step {
        "reserve" => inventory,
        "authorize" => payments,
        _ => shipping,
    };
    first.stop();
    let id = shop.place(request).await.unwrap().order_id;
    let callee = match step {
        "reserve" => ("inventory", 1),
        "authorize" => ("payments", 2),
        "create_shipment" => ("shipping", 3),
        "commit" => {
            shop.reaches(&id, 3).await;
            inventory.stop();
            shipping.cont();
            ("inventory", 4)
        }
        _ => {
            shop.reaches(&id, 3).await;
            payments.stop();
            shipping.cont();
            ("payments", 5)
        }
    };
    shop.reaches(&id, callee.1).await;
    if step != "release_shipment" {
        return (id, callee.0);
    }
    shipping.stop();
    payments.cont();
    shop.reaches(&id, 7).await;
    (id, "shipping")
}

async fn ends_cancelled(shop: &Shop, sku: &str, id: &str, step: &str) {
    shop.comes_to(id, OrderState::Cancelled).await;
    let _: OrderCancelled = shop.told(id).await;
    shop.money_agrees(id).await;
    // What was on its way when orders died can arrive later, and is refused.
    eventually(&format!("the stock to be as before {step}"), async || {
        shop.pieces(sku).await == [9, 0, 0, 0]
    })
    .await;
}

/// The step that was running when the cancel came took effect, and was then undone.
async fn it_was_done_and_undone(shop: &Shop, id: &str, step: &str) {
    let undone = ReservationState::Restocked;
    match step {
        "reserve" | "authorize" | "create_shipment" => {
            reservation_is(shop, id, ReservationState::Released, 2).await;
        }
        _ => reservation_is(shop, id, undone, 3).await,
    }
    let total = minor(shop.order(id).await.total.as_ref());
    match step {
        "reserve" => assert_eq!(shop.payment(id).await, None, "payments was never asked"),
        "authorize" | "create_shipment" | "commit" => {
            let charge = shop.charge(id).await.unwrap();
            assert_eq!(charge.state(), ChargeState::Voided);
            assert_eq!(minor(charge.amount.as_ref()), total, "it had been authorized");
        }
        _ => {
            let charge = shop.charge(id).await.unwrap();
            assert_eq!(minor(charge.captured.as_ref()), total, "it had been taken");
            assert_eq!(minor(charge.refunded.as_ref()), total);
            assert_eq!(shop.payment(id).await.unwrap().state(), PaymentState::Undone);
        }
    }
    match step {
        "reserve" | "authorize" => assert_eq!(shop.shipment(id).await, None),
        _ => {
            let shipment = shop.shipment(id).await.unwrap();
            assert_eq!(
                (shipment.state(), shipment.order_id.as_str()),
                (ShipmentState::Cancelled, id)
            );
        }
    }
}

/// A13: cancelled after it was confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_can_be_cancelled_and_is_refunded() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let id = confirmed(&shop, &sku).await;

    let first = cancel(&shop, &id).await.unwrap().order.unwrap();

    assert_eq!(first.state(), OrderState::Cancelling);
    let order = shop.comes_to(&id, OrderState::Cancelled).await;
    let charge = shop.charge(&id).await.unwrap();
    assert_eq!((&charge.captured, &charge.refunded), (&order.total, &order.total));
    shop.money_agrees(&id).await;
    assert_eq!(shop.shipment(&id).await.unwrap().state(), ShipmentState::Cancelled);
    reservation_is(&shop, &id, ReservationState::Restocked, 3).await;
    assert_eq!(shop.pieces(&sku).await, [9, 0, 0, 0]);
    let late = report(&shop, &id, ShipmentState::Dispatched).await.unwrap_err();
    assert_eq!(reason(&late), "SHIPMENT_STATE_CONFLICT");
    let again = cancel(&shop, &id).await.unwrap_err();
    assert_eq!(reason(&again), "ORDER_NOT_CANCELLABLE");
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A13: cancelled after the parcel left, whether or not orders has heard of that.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_parcel_has_left_is_not_cancelled() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let known = confirmed(&shop, &sku).await;
    report(&shop, &known, ShipmentState::Dispatched).await.unwrap();
    shop.comes_to(&known, OrderState::Shipped).await;
    let refused = cancel(&shop, &known).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), dispatched());

    // Nobody hears of the second parcel, so only shipping can say that it has left.
    let unheard = confirmed(&shop, &sku).await;
    shop.platform.nats().down().await;
    report(&shop, &unheard, ShipmentState::Dispatched).await.unwrap();
    let accepted = cancel(&shop, &unheard).await.unwrap().order.unwrap();
    assert_eq!(accepted.state(), OrderState::Cancelling);
    let order = shop.comes_to(&unheard, OrderState::Shipped).await;
    assert_eq!(order.reason.unwrap().reason, "ORDER_DISPATCHED");
    assert_eq!(shop.steps("cancel_shipment", "refused").await, 1.0);
    shop.platform.nats().up().await;

    let told: OrderCancelRefused = shop.told(&unheard).await;
    assert_eq!(told.reason.unwrap().reason, "ORDER_DISPATCHED");
    for id in [&known, &unheard] {
        let _: OrderShipped = shop.told(id).await;
        let order = shop.money_agrees(id).await;
        assert_eq!(order.state(), OrderState::Shipped, "paid and not refunded");
    }
    eventually("the pieces to have left", async || shop.pieces(&sku).await == [5, 0, 0, 4]).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A13: the customer and the carrier at once; shipping decides, and both ends are whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_races_the_carrier_ends_cancelled_or_shipped_and_never_between() {
    let shop = Shop::open().await;
    let sku = shop.stocked(40).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(confirmed(&shop, &sku).await);
    }

    let races = ids.iter().map(|id| async {
        let (cancelled, left) =
            tokio::join!(cancel(&shop, id), report(&shop, id, ShipmentState::Dispatched));
        if let Err(refused) = cancelled {
            assert_eq!((refused.code(), reason(&refused)), dispatched());
        }
        if let Err(refused) = &left {
            assert_eq!(reason(refused), "SHIPMENT_STATE_CONFLICT");
        }
        let end = if left.is_ok() { OrderState::Shipped } else { OrderState::Cancelled };
        shop.comes_to(id, end).await;
        end
    });
    let ends = join_all(races).await;
    shop.quiet().await;

    for (id, end) in ids.iter().zip(&ends) {
        assert_eq!(shop.money_agrees(id).await.state(), *end);
    }
    let shipped = ends.iter().filter(|end| **end == OrderState::Shipped).count();
    let shipped = i64::try_from(shipped).unwrap() * 2;
    eventually("the pieces to be where the orders say", async || {
        shop.pieces(&sku).await == [40 - shipped, 0, 0, shipped]
    })
    .await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

fn dispatched() -> (Code, String) {
    (Code::FailedPrecondition, "ORDER_DISPATCHED".to_owned())
}

/// A confirmed order of two pieces whose parcel may leave.
async fn confirmed(shop: &Shop, sku: &str) -> String {
    let order = shop.place(shop.order_of(sku, 2, GOOD_CARD).await).await.unwrap();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;
    order.order_id
}
