//! The calls of the checkout: one per step, each under a key made from the order and the step.
//!
//! A request is made from what never changes about an order, with durations instead of times, so a
//! repeated call sends the same bytes.

use std::time::Duration;

use mesh_rpc::{access::on_behalf_of, reason, timeout_request};
use mesh_saga::Answer;
use prost::Message as _;
use shop::{
    common::v1::Address, inventory::v1 as inventory, money, payments::v1 as payments,
    shipping::v1 as shipping,
};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::{Checkout, label};
use crate::domain::{Action, Order, Step, Undo};

/// How long one call may take; a step is repeated for as long as its patience lasts.
const CALL: Duration = Duration::from_secs(4);

/// The key of a step's call, which is the id of what the step makes.
pub fn key(order: Uuid, step: Step) -> String {
    Uuid::new_v5(&order, label(step).as_bytes()).to_string()
}

/// Calls whoever does the step.
pub async fn call(checkout: &Checkout, order: &Order, step: Step) -> Answer {
    let result = match step {
        Step::Do(action) => act(checkout, order, action).await,
        Step::Undo(undo) => undo_action(checkout, order, undo).await,
        Step::RefundLoss => refund_loss(checkout, order).await,
    };
    match result {
        Ok(()) => Answer::Done,
        Err(Failed::Status(status)) => judge(step, &status),
        Err(Failed::Database(error)) => Answer::Unknown(error.to_string()),
        Err(Failed::Forgotten(what)) => Answer::Mismatch(format!("{what} was deleted")),
    }
}

enum Failed {
    Status(Status),
    Database(sqlx::Error),
    Forgotten(&'static str),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

async fn act(checkout: &Checkout, order: &Order, action: Action) -> Result<(), Failed> {
    match action {
        Action::ReserveStock => reserve_stock(checkout, order).await,
        Action::AuthorizePayment => authorize_payment(checkout, order).await,
        Action::CreateShipment => create_shipment(checkout, order).await,
        Action::CommitStock => {
            let request = inventory::CommitReservationRequest {
                request_id: key(order.id, Step::Do(action)),
                reservation_id: reservation(order),
            };
            let mut inventory = checkout.neighbours.inventory.clone();
            inventory.commit_reservation(within(order, request)).await?;
            Ok(())
        }
        Action::CapturePayment => {
            let request = payments::CapturePaymentRequest {
                request_id: key(order.id, Step::Do(action)),
                payment_id: payment(order),
                amount: None,
            };
            checkout.neighbours.payments.clone().capture_payment(within(order, request)).await?;
            Ok(())
        }
        Action::ReleaseShipment => {
            let request = shipping::ReleaseShipmentRequest {
                request_id: key(order.id, Step::Do(action)),
                shipment_id: shipment(order),
            };
            checkout.neighbours.shipping.clone().release_shipment(within(order, request)).await?;
            Ok(())
        }
    }
}

async fn reserve_stock(checkout: &Checkout, order: &Order) -> Result<(), Failed> {
    let line = |line: &crate::domain::Line| inventory::ReservationLine {
        sku: line.sku.clone(),
        quantity: line.quantity,
    };
    let request = inventory::ReserveStockRequest {
        request_id: reservation(order),
        order_id: order.id.to_string(),
        lines: order.placement.lines.iter().map(line).collect(),
        hold: Some(prost_types::Duration { seconds: checkout.hold_seconds.into(), nanos: 0 }),
    };
    checkout.neighbours.inventory.clone().reserve_stock(within(order, request)).await?;
    Ok(())
}

async fn authorize_payment(checkout: &Checkout, order: &Order) -> Result<(), Failed> {
    let private = checkout.private.get(order.id).await?;
    let request = payments::AuthorizePaymentRequest {
        request_id: payment(order),
        order_id: order.id.to_string(),
        amount: Some(money::to_wire(order.placement.total)),
        card_token: private.card_token.ok_or(Failed::Forgotten("card token"))?,
    };
    checkout.neighbours.payments.clone().authorize_payment(within(order, request)).await?;
    Ok(())
}

async fn create_shipment(checkout: &Checkout, order: &Order) -> Result<(), Failed> {
    let private = checkout.private.get(order.id).await?;
    let address = private.address.and_then(|address| Address::decode(address.as_slice()).ok());
    let request = shipping::CreateShipmentRequest {
        request_id: shipment(order),
        order_id: order.id.to_string(),
        address: Some(address.ok_or(Failed::Forgotten("address"))?),
        customer_id: order.placement.customer.to_string(),
        ..shipping::CreateShipmentRequest::default()
    };
    checkout.neighbours.shipping.clone().create_shipment(within(order, request)).await?;
    Ok(())
}

async fn undo_action(checkout: &Checkout, order: &Order, undo: Undo) -> Result<(), Failed> {
    let request_id = key(order.id, Step::Undo(undo));
    let neighbours = checkout.neighbours.clone();
    match undo {
        Undo::Payment => {
            let payment_id = payment(order);
            let request = payments::UndoPaymentRequest { request_id, payment_id };
            neighbours.payments.clone().undo_payment(within(order, request)).await?;
        }
        Undo::Sale => {
            let reservation_id = reservation(order);
            let request = inventory::RestockReservationRequest { request_id, reservation_id };
            neighbours.inventory.clone().restock_reservation(within(order, request)).await?;
        }
        Undo::Shipment => {
            let shipment_id = shipment(order);
            let request = shipping::CancelShipmentRequest { request_id, shipment_id };
            neighbours.shipping.clone().cancel_shipment(within(order, request)).await?;
        }
        Undo::Hold => {
            let reservation_id = reservation(order);
            let request = inventory::ReleaseReservationRequest { request_id, reservation_id };
            neighbours.inventory.clone().release_reservation(within(order, request)).await?;
        }
    }
    Ok(())
}

async fn refund_loss(checkout: &Checkout, order: &Order) -> Result<(), Failed> {
    let request = payments::RefundPaymentRequest {
        request_id: key(order.id, Step::RefundLoss),
        payment_id: payment(order),
        amount: Some(money::to_wire(order.placement.total)),
    };
    checkout.neighbours.payments.clone().refund_payment(within(order, request)).await?;
    Ok(())
}

/// What an error says about the step.
fn judge(step: Step, status: &Status) -> Answer {
    let text = format!("{:?}: {}", status.code(), status.message());
    let Some(reason) = reason(status) else { return Answer::Unknown(text) };
    if reason == "REQUEST_CONTENT_DIFFERS" {
        return Answer::Mismatch(text);
    }
    let refuses = matches!(
        status.code(),
        Code::FailedPrecondition | Code::NotFound | Code::InvalidArgument | Code::OutOfRange
    );
    // What must be undone is asked for until it is, with one exception: a parcel that has left.
    let may_refuse = match step {
        Step::Do(_) => true,
        Step::Undo(Undo::Shipment) => reason == "SHIPMENT_DISPATCHED",
        Step::Undo(_) | Step::RefundLoss => false,
    };
    if refuses && may_refuse {
        return Answer::Refused { detail: detail(status), reason };
    }
    Answer::Unknown(format!("{reason}: {text}"))
}

fn detail(status: &Status) -> String {
    let named = ["decline_reason", "sku"];
    named.iter().find_map(|name| mesh_rpc::error_metadata(status, name)).unwrap_or_default()
}

/// A call that the service makes by itself, for the order's customer.
fn within<T>(order: &Order, request: T) -> Request<T> {
    let mut request = timeout_request(request, CALL);
    on_behalf_of(&mut request, order.placement.customer);
    request
}

fn reservation(order: &Order) -> String {
    key(order.id, Step::Do(Action::ReserveStock))
}

fn payment(order: &Order) -> String {
    key(order.id, Step::Do(Action::AuthorizePayment))
}

fn shipment(order: &Order) -> String {
    key(order.id, Step::Do(Action::CreateShipment))
}
