//! A15: an action that arrives after its compensation is refused, at everyone who acts.

use shop::{
    common::v1::Money,
    inventory::v1::{
        CommitReservationRequest, ReleaseReservationRequest, ReservationLine, ReserveStockRequest,
        RestockReservationRequest,
    },
    payments::v1::{
        AuthorizePaymentRequest, CapturePaymentRequest, PaymentState, UndoPaymentRequest,
    },
    processor::v1::{
        AuthorizeChargeRequest, CaptureChargeRequest, ChargeState, GetChargeRequest,
        VoidChargeRequest,
    },
    shipping::v1::{
        CancelShipmentRequest, CreateShipmentRequest, GetShipmentRequest, ReleaseShipmentRequest,
        ShipmentState,
    },
};
use tonic::{Code, Response, Status};

use crate::{
    evidence::{minor, reason},
    shop::{GOOD_CARD, Shop, address, uuid},
};

/// A15: reserve after release and after restock; commit after release and after restock.
#[tokio::test(flavor = "multi_thread")]
async fn stock_that_was_given_up_before_it_was_reserved_or_sold_stays_on_the_shelf() {
    let shop = Shop::open().await;
    let sku = shop.stocked(5).await;
    let reserve = |id: &str| ReserveStockRequest {
        request_id: id.to_owned(),
        order_id: uuid(),
        lines: vec![ReservationLine { sku: sku.clone(), quantity: 2 }],
        hold: None,
    };
    for restocks in [false, true] {
        let unknown = uuid();
        give_up(&shop, &unknown, restocks).await;
        overtaken("ReserveStock", shop.inventory().reserve_stock(reserve(&unknown)).await);
        give_up(&shop, &unknown, restocks).await;

        let known = uuid();
        shop.inventory().reserve_stock(reserve(&known)).await.unwrap();
        assert_eq!(shop.pieces(&sku).await, [3, 2, 0, 0]);
        give_up(&shop, &known, restocks).await;
        for id in [&known, &unknown] {
            let (request_id, reservation_id) = (uuid(), id.clone());
            let commit = CommitReservationRequest { request_id, reservation_id };
            overtaken("CommitReservation", shop.inventory().commit_reservation(commit).await);
        }
        assert_eq!(shop.pieces(&sku).await, [5, 0, 0, 0]);
    }
    shop.platform.shutdown().await;
}

async fn give_up(shop: &Shop, id: &str, restocks: bool) {
    let (request_id, reservation_id) = (uuid(), id.to_owned());
    let mut inventory = shop.inventory();
    if restocks {
        let request = RestockReservationRequest { request_id, reservation_id };
        inventory.restock_reservation(request).await.unwrap();
    } else {
        let request = ReleaseReservationRequest { request_id, reservation_id };
        inventory.release_reservation(request).await.unwrap();
    }
}

/// A15: authorize and capture after undo.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_undone_before_it_arrived_is_never_charged() {
    let shop = Shop::open().await;
    let card_token = shop.card(GOOD_CARD).await;
    let undo = |id: &str| UndoPaymentRequest { request_id: uuid(), payment_id: id.to_owned() };
    let authorize = |id: &str| AuthorizePaymentRequest {
        request_id: id.to_owned(),
        order_id: uuid(),
        amount: Some(ten_euros()),
        card_token: card_token.clone(),
    };
    let mut payments = shop.payments();

    let unknown = uuid();
    payments.undo_payment(undo(&unknown)).await.unwrap();
    overtaken("AuthorizePayment", payments.authorize_payment(authorize(&unknown)).await);
    payments.undo_payment(undo(&unknown)).await.unwrap();
    let asked = GetChargeRequest { charge_id: unknown.clone() };
    let never = shop.processor().get_charge(asked).await.unwrap_err();
    assert_eq!(reason(&never), "CHARGE_NOT_FOUND", "the processor never heard of it");

    let known = uuid();
    let first = authorize(&known);
    payments.authorize_payment(first.clone()).await.unwrap();
    let undone = payments.undo_payment(undo(&known)).await.unwrap().into_inner().payment.unwrap();
    assert_eq!(undone.state(), PaymentState::Undone);
    for id in [&known, &unknown] {
        let capture =
            CapturePaymentRequest { request_id: uuid(), payment_id: id.clone(), amount: None };
        overtaken("CapturePayment", payments.capture_payment(capture).await);
    }
    // The authorization was repeated by somebody who had not heard its answer.
    overtaken("AuthorizePayment", payments.authorize_payment(first).await);
    let charged = GetChargeRequest { charge_id: known };
    let charge = shop.processor().get_charge(charged).await.unwrap().into_inner().charge.unwrap();
    assert_eq!((charge.state(), minor(charge.captured.as_ref())), (ChargeState::Voided, 0));
    shop.platform.shutdown().await;
}

/// A15: the processor's own contract.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_voided_before_it_arrived_takes_nothing() {
    let shop = Shop::open().await;
    let card_token = shop.card(GOOD_CARD).await;
    let void = |id: &str| VoidChargeRequest { request_id: uuid(), charge_id: id.to_owned() };
    let authorize = |id: &str| AuthorizeChargeRequest {
        request_id: id.to_owned(),
        card_token: card_token.clone(),
        amount: Some(ten_euros()),
    };
    let mut processor = shop.processor();

    let (unknown, known) = (uuid(), uuid());
    processor.void_charge(void(&unknown)).await.unwrap();
    overtaken("AuthorizeCharge", processor.authorize_charge(authorize(&unknown)).await);
    processor.authorize_charge(authorize(&known)).await.unwrap();
    processor.void_charge(void(&known)).await.unwrap();

    for id in [&known, &unknown] {
        processor.void_charge(void(id)).await.unwrap();
        let capture =
            CaptureChargeRequest { request_id: uuid(), charge_id: id.clone(), amount: None };
        overtaken("CaptureCharge", processor.capture_charge(capture).await);
        let asked = GetChargeRequest { charge_id: id.clone() };
        let charge = processor.get_charge(asked).await.unwrap().into_inner().charge.unwrap();
        assert_eq!(charge.state(), ChargeState::Voided);
        let open = [charge.authorized, charge.captured];
        assert_eq!(open.map(|amount| minor(amount.as_ref())), [0, 0]);
    }
    shop.platform.shutdown().await;
}

/// A15: create and release after cancel.
#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_was_cancelled_before_it_was_announced_never_leaves() {
    let shop = Shop::open().await;
    let cancel =
        |id: &str| CancelShipmentRequest { request_id: uuid(), shipment_id: id.to_owned() };
    let create = |id: &str| CreateShipmentRequest {
        request_id: id.to_owned(),
        order_id: uuid(),
        address: Some(address("DE")),
        ..CreateShipmentRequest::default()
    };
    let mut shipping = shop.shipping();

    let (unknown, known) = (uuid(), uuid());
    shipping.cancel_shipment(cancel(&unknown)).await.unwrap();
    overtaken("CreateShipment", shipping.create_shipment(create(&unknown)).await);
    shipping.create_shipment(create(&known)).await.unwrap();
    shipping.cancel_shipment(cancel(&known)).await.unwrap();

    for id in [&known, &unknown] {
        shipping.cancel_shipment(cancel(id)).await.unwrap();
        let release = ReleaseShipmentRequest { request_id: uuid(), shipment_id: id.clone() };
        overtaken("ReleaseShipment", shipping.release_shipment(release).await);
        let asked = GetShipmentRequest { shipment_id: id.clone() };
        let shipment = shipping.get_shipment(asked).await.unwrap().into_inner().shipment.unwrap();
        assert_eq!(shipment.state(), ShipmentState::Cancelled);
    }
    let addresses = "SELECT count(*) FROM shipment_addresses";
    assert_eq!(shop.count("shipping", addresses).await, 0, "no address is kept for nothing");
    shop.platform.shutdown().await;
}

fn overtaken<T: std::fmt::Debug>(rpc: &str, answer: Result<Response<T>, Status>) {
    let refused = answer.expect_err(rpc);
    assert_eq!(refused.code(), Code::FailedPrecondition, "{rpc}: {refused:?}");
    assert_eq!(reason(&refused), "CANCELLED_BEFORE_ARRIVAL", "{rpc}");
}

fn ten_euros() -> Money {
    Money { currency_code: "EUR".to_owned(), units: 10, nanos: 0 }
}
