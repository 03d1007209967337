//! A12: when neither forward nor back works any more, a person is asked.

use mesh_proto::operator::v1::{
    CompensateSagaRequest, GetSagaRequest, ListSagasRequest, ResolveSagaRequest, RetrySagaRequest,
    Saga, SagaState,
};
use mesh_testkit::eventually;
use shop::{
    inventory::v1::ReservationState,
    orders::v1::{
        Order, OrderCancelled, OrderNeedsAttention, OrderResolved, OrderState, PlaceOrderRequest,
    },
    payments::v1::PaymentState,
    processor::v1::ChargeState,
    shipping::v1::ShipmentState,
};
use tonic::Code;

use super::{ANSWERS_SLOWLY, cancel, reservation_is};
use crate::{
    evidence::reason,
    shop::{GOOD_CARD, Shop, address, uuid},
};

/// A12: a compensation keeps failing; it is parked, seen, and goes on when the operator says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_compensation_keeps_failing_waits_for_an_operator() {
    let shop = impatient_shop().await;
    let id = an_order_that_cannot_be_paid_back(&shop).await;

    let parked = shop.comes_to(&id, OrderState::NeedsAttention).await;
    it_is_seen(&shop, &parked, "undo_payment").await;
    let refused = cancel(&shop, &id).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "ORDER_NOT_CANCELLABLE");
    assert_eq!(shop.payment(&id).await.unwrap().state(), PaymentState::Undoing);

    shop.platform.service("processor").up();
    shop.platform.service("processor").ready().await;
    // The checkout's time is short here; asked earlier, all of it may pass before the next attempt.
    shop.finds_again("payments", "processor").await;
    let retry = RetrySagaRequest { request_id: uuid(), saga_id: id.clone() };
    let resumed = shop.sagas().retry_saga(retry.clone()).await.unwrap().into_inner().saga.unwrap();
    assert_ne!(resumed.state(), SagaState::Parked);

    let order = shop.comes_to(&id, OrderState::Rejected).await;
    assert_eq!(order.reason.unwrap().reason, "ADDRESS_NOT_SERVED");
    assert_eq!(shop.charge(&id).await.unwrap().state(), ChargeState::Voided);
    shop.money_agrees(&id).await;
    reservation_is(&shop, &id, ReservationState::Released, 2).await;
    assert!(listed(&shop).await.is_empty());
    // The same request once more changes nothing; a new one finds nothing parked.
    let again = shop.sagas().retry_saga(retry).await.unwrap().into_inner().saga.unwrap();
    assert_eq!(again.state(), SagaState::Ended);
    let late = RetrySagaRequest { request_id: uuid(), saga_id: id };
    let refused = shop.sagas().retry_saga(late).await.unwrap_err();
    assert_eq!(reason(&refused), "SAGA_NOT_PARKED");
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A12: the operator ends a parked order by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_order_can_be_resolved_with_a_note() {
    let shop = impatient_shop().await;
    let id = an_order_that_cannot_be_paid_back(&shop).await;
    shop.comes_to(&id, OrderState::NeedsAttention).await;

    let note = "voided at the processor by telephone".to_owned();
    let resolve = ResolveSagaRequest { request_id: uuid(), saga_id: id.clone(), note };
    let saga = shop.sagas().resolve_saga(resolve.clone()).await.unwrap().into_inner().saga.unwrap();

    assert_eq!(saga.state(), SagaState::Ended);
    let told: OrderResolved = shop.told(&id).await;
    assert_eq!(told.note, resolve.note);
    let order = shop.order(&id).await;
    assert_eq!(order.state(), OrderState::NeedsAttention);
    assert_eq!(order.reason.unwrap().detail, resolve.note);
    assert!(listed(&shop).await.is_empty());
    // What payments had meant to do it does, whoever waits for it.
    shop.platform.service("processor").up();
    eventually("payments to settle what was open", async || {
        shop.payment(&id).await.is_some_and(|it| it.state() == PaymentState::Undone)
    })
    .await;
    assert_eq!(shop.order(&id).await.version, saga.version, "nothing calls any more");
    shop.platform.shutdown().await;
}

/// A12: after the pivot time alone turns nothing back; an operator can.
#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_that_cannot_go_on_is_parked_and_turned_back_by_an_operator() {
    let shop = impatient_shop().await;
    let sku = shop.stocked(5).await;
    let shipping = shop.platform.service("shipping");
    let order = shop.place(shop.order_of(&sku, 1, ANSWERS_SLOWLY).await).await.unwrap();
    let id = order.order_id;
    // The capture takes two seconds; the parcel exists by then, and can be let go by nobody.
    shop.reaches(&id, 4).await;
    shipping.down().await;

    let parked = shop.comes_to(&id, OrderState::NeedsAttention).await;
    it_is_seen(&shop, &parked, "release_shipment").await;
    assert_eq!(shop.charge(&id).await.unwrap().state(), ChargeState::Captured);
    assert_eq!(shop.pieces(&sku).await, [4, 0, 1, 0]);

    shipping.up();
    shipping.ready().await;
    shop.finds_again("orders", "shipping").await;
    let compensate = CompensateSagaRequest { request_id: uuid(), saga_id: id.clone() };
    shop.sagas().compensate_saga(compensate).await.unwrap();

    shop.comes_to(&id, OrderState::Cancelled).await;
    let _: OrderCancelled = shop.told(&id).await;
    let charge = shop.charge(&id).await.unwrap();
    assert_eq!((&charge.captured, &charge.refunded), (&order.total, &order.total));
    shop.money_agrees(&id).await;
    assert_eq!(shop.shipment(&id).await.unwrap().state(), ShipmentState::Cancelled);
    assert_eq!(shop.pieces(&sku).await, [5, 0, 0, 0]);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// A shop whose checkouts are parked soon.
pub async fn impatient_shop() -> Shop {
    Shop::open_with(|options| options.env("orders", "CHECKOUT_LIMIT_SECONDS", "4")).await
}

async fn an_order_that_cannot_be_paid_back(shop: &Shop) -> String {
    let [order] = orders_that_cannot_be_paid_back(shop).await;
    order
}

/// Nobody delivers to their address, and the processor is away since it authorized the payments.
pub async fn orders_that_cannot_be_paid_back<const COUNT: usize>(shop: &Shop) -> [String; COUNT] {
    let sku = shop.stocked(5).await;
    let mut requests = Vec::new();
    for _ in 0..COUNT {
        let request = shop.order_of(&sku, 1, GOOD_CARD).await;
        requests.push(PlaceOrderRequest { address: Some(address("AQ")), ..request });
    }
    let shipping = shop.platform.service("shipping");
    shipping.stop();
    let mut orders = Vec::new();
    for request in requests {
        orders.push(shop.place(request).await.unwrap().order_id);
    }
    for order in &orders {
        shop.reaches(order, 3).await;
    }
    shop.platform.service("processor").down().await;
    shipping.cont();
    orders.try_into().unwrap()
}

/// The order, the event, the metric and the operator's list say that it is parked, and where.
async fn it_is_seen(shop: &Shop, parked: &Order, step: &str) {
    let id = parked.order_id.as_str();
    assert_eq!(parked.reason.as_ref().unwrap().reason, "CHECKOUT_OVERDUE");
    let told: OrderNeedsAttention = shop.told(id).await;
    assert_eq!(told.reason.unwrap().reason, "CHECKOUT_OVERDUE");
    eventually("the metric to show it", async || {
        shop.metric("orders", "mesh_saga_parked", &[]).await == 1.0
    })
    .await;
    assert_eq!(shop.steps(step, "out_of_time").await, 1.0);
    let sagas = listed(shop).await;
    assert_eq!(sagas.len(), 1);
    assert_eq!((sagas[0].saga_id.as_str(), sagas[0].step.as_str()), (id, step));
    assert_eq!(sagas[0].reason, "CHECKOUT_OVERDUE");
    let request = GetSagaRequest { saga_id: id.to_owned() };
    let saga = shop.sagas().get_saga(request).await.unwrap().into_inner().saga.unwrap();
    assert_eq!(saga.state(), SagaState::Parked);
    let last = saga.events.last().unwrap();
    assert_eq!(last.r#type, "shop.orders.v1.OrderNeedsAttention");
    assert_eq!(i32::try_from(saga.events.len()).unwrap(), saga.version);
}

/// The sagas that wait for an operator.
async fn listed(shop: &Shop) -> Vec<Saga> {
    let state = SagaState::Parked.into();
    let request = ListSagasRequest { state, ..ListSagasRequest::default() };
    shop.sagas().list_sagas(request).await.unwrap().into_inner().sagas
}
