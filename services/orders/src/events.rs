//! Orders' events as their stream holds them. Public ones are contracts; steps are the stream's own.

use bytes::Bytes;
use mesh_log::Event;
use prost::{Message, Name};
use shop::{
    common::v1 as common,
    money::{self, Money},
    orders::v1 as proto,
};
use uuid::Uuid;

use crate::{
    domain::{Line, Order, OrderEvent, Placement, Reason},
    numbers::{ACTIONS, UNDOS, by_number, number},
};

/// One step of the checkout. `kind`: 1 done, 2 refused, 3 timed out, 4 undone; 5 is how
/// `OrderCompensationOrdered` was recorded before it was public.
#[derive(Clone, PartialEq, Message)]
struct CheckoutStep {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, tag = "2")]
    action: u32,
    #[prost(uint32, tag = "3")]
    undo: u32,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(string, tag = "5")]
    detail: String,
}

impl Name for CheckoutStep {
    const NAME: &'static str = "CheckoutStep";
    const PACKAGE: &'static str = "shop.orders.internal";
}

/// What `event` looks like in the log of `order`, of which it is or becomes a part.
pub fn to_log(order: &Order, event: &OrderEvent) -> Event {
    let order_id = order.id.to_string();
    let customer_id = order.placement.customer.to_string();
    match event {
        OrderEvent::Placed(placement) => Event::public(&placed(order_id, customer_id, placement)),
        OrderEvent::Done(action) => step(1, number(&ACTIONS, action), 0, None),
        OrderEvent::Refused(action, reason) => step(2, number(&ACTIONS, action), 0, Some(reason)),
        OrderEvent::TimedOut(action, reason) => step(3, number(&ACTIONS, action), 0, Some(reason)),
        OrderEvent::Undone(undo) => step(4, 0, number(&UNDOS, undo), None),
        OrderEvent::CompensationOrdered => {
            Event::public(&proto::OrderCompensationOrdered { order_id, customer_id })
        }
        OrderEvent::Confirmed => {
            let total = Some(money::to_wire(order.placement.total));
            Event::public(&proto::OrderConfirmed { order_id, customer_id, total })
        }
        OrderEvent::Rejected(why) => {
            let reason = Some(reason(why));
            Event::public(&proto::OrderRejected { order_id, customer_id, reason })
        }
        OrderEvent::CancelRequested => {
            Event::public(&proto::OrderCancelRequested { order_id, customer_id })
        }
        OrderEvent::Cancelled => Event::public(&proto::OrderCancelled { order_id, customer_id }),
        OrderEvent::CancelRefused(why) => {
            let reason = Some(reason(why));
            Event::public(&proto::OrderCancelRefused { order_id, customer_id, reason })
        }
        OrderEvent::Shipped => Event::public(&proto::OrderShipped { order_id, customer_id }),
        OrderEvent::Delivered => Event::public(&proto::OrderDelivered { order_id, customer_id }),
        OrderEvent::Lost(amount) => {
            let refund = Some(money::to_wire(*amount));
            Event::public(&proto::OrderLost { order_id, customer_id, refund })
        }
        OrderEvent::Refunded(amount) => {
            let refund = Some(money::to_wire(*amount));
            Event::public(&proto::OrderRefunded { order_id, customer_id, refund })
        }
        OrderEvent::NeedsAttention(why) => {
            let reason = Some(reason(why));
            Event::public(&proto::OrderNeedsAttention { order_id, customer_id, reason })
        }
        OrderEvent::Resumed => Event::public(&proto::OrderResumed { order_id, customer_id }),
        OrderEvent::Resolved(note) => {
            Event::public(&proto::OrderResolved { order_id, customer_id, note: note.clone() })
        }
    }
}

/// The event that a log row holds; none if this version does not know it.
pub fn from_log(kind: &str, body: &Bytes) -> Option<OrderEvent> {
    let body = body.clone();
    let reason = |reason: Option<proto::OrderReason>| {
        let reason = reason.unwrap_or_default();
        Reason { reason: reason.reason, detail: reason.detail }
    };
    let amount = |amount: Option<common::Money>| money::from_wire(&amount?).ok();
    let is = |name: String| name == kind;
    if is(CheckoutStep::full_name()) {
        return from_step(CheckoutStep::decode(body).ok()?);
    }
    Some(match kind.strip_prefix("shop.orders.v1.")? {
        "OrderPlaced" => from_placed(proto::OrderPlaced::decode(body).ok()?)?,
        "OrderConfirmed" => OrderEvent::Confirmed,
        "OrderRejected" => {
            OrderEvent::Rejected(reason(proto::OrderRejected::decode(body).ok()?.reason))
        }
        "OrderCancelRequested" => OrderEvent::CancelRequested,
        "OrderCancelled" => OrderEvent::Cancelled,
        "OrderCancelRefused" => {
            OrderEvent::CancelRefused(reason(proto::OrderCancelRefused::decode(body).ok()?.reason))
        }
        "OrderShipped" => OrderEvent::Shipped,
        "OrderDelivered" => OrderEvent::Delivered,
        "OrderLost" => OrderEvent::Lost(amount(proto::OrderLost::decode(body).ok()?.refund)?),
        "OrderRefunded" => {
            OrderEvent::Refunded(amount(proto::OrderRefunded::decode(body).ok()?.refund)?)
        }
        "OrderNeedsAttention" => OrderEvent::NeedsAttention(reason(
            proto::OrderNeedsAttention::decode(body).ok()?.reason,
        )),
        "OrderResumed" => OrderEvent::Resumed,
        "OrderCompensationOrdered" => OrderEvent::CompensationOrdered,
        "OrderResolved" => OrderEvent::Resolved(proto::OrderResolved::decode(body).ok()?.note),
        _ => return None,
    })
}

/// The name under which others know an event; none if it is the stream's own.
pub fn public_name(event: &OrderEvent) -> Option<String> {
    Some(match event {
        OrderEvent::Placed(_) => proto::OrderPlaced::full_name(),
        OrderEvent::Confirmed => proto::OrderConfirmed::full_name(),
        OrderEvent::Rejected(_) => proto::OrderRejected::full_name(),
        OrderEvent::CancelRequested => proto::OrderCancelRequested::full_name(),
        OrderEvent::Cancelled => proto::OrderCancelled::full_name(),
        OrderEvent::CancelRefused(_) => proto::OrderCancelRefused::full_name(),
        OrderEvent::Shipped => proto::OrderShipped::full_name(),
        OrderEvent::Delivered => proto::OrderDelivered::full_name(),
        OrderEvent::Lost(_) => proto::OrderLost::full_name(),
        OrderEvent::Refunded(_) => proto::OrderRefunded::full_name(),
        OrderEvent::NeedsAttention(_) => proto::OrderNeedsAttention::full_name(),
        OrderEvent::Resumed => proto::OrderResumed::full_name(),
        OrderEvent::CompensationOrdered => proto::OrderCompensationOrdered::full_name(),
        OrderEvent::Resolved(_) => proto::OrderResolved::full_name(),
        OrderEvent::Done(_)
        | OrderEvent::Refused(..)
        | OrderEvent::TimedOut(..)
        | OrderEvent::Undone(_) => return None,
    })
}

fn step(kind: u32, action: u32, undo: u32, why: Option<&Reason>) -> Event {
    let why = why.cloned().unwrap_or_else(|| Reason::new("", ""));
    Event::private(&CheckoutStep { kind, action, undo, reason: why.reason, detail: why.detail })
}

fn from_step(step: CheckoutStep) -> Option<OrderEvent> {
    let action = || by_number(&ACTIONS, step.action).copied();
    let reason = Reason { reason: step.reason.clone(), detail: step.detail.clone() };
    Some(match step.kind {
        1 => OrderEvent::Done(action()?),
        2 => OrderEvent::Refused(action()?, reason),
        3 => OrderEvent::TimedOut(action()?, reason),
        4 => OrderEvent::Undone(*by_number(&UNDOS, step.undo)?),
        5 => OrderEvent::CompensationOrdered,
        _ => return None,
    })
}

fn placed(order_id: String, customer_id: String, placement: &Placement) -> proto::OrderPlaced {
    let line = |line: &Line| proto::OrderLine {
        sku: line.sku.clone(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: Some(money::to_wire(line.unit_price)),
    };
    proto::OrderPlaced {
        order_id,
        customer_id,
        lines: placement.lines.iter().map(line).collect(),
        total: Some(money::to_wire(placement.total)),
        cart_etag: placement.cart_version.to_string(),
    }
}

fn from_placed(placed: proto::OrderPlaced) -> Option<OrderEvent> {
    let amount =
        |amount: Option<common::Money>| -> Option<Money> { money::from_wire(&amount?).ok() };
    let line = |line: proto::OrderLine| {
        let unit_price = amount(line.unit_price)?;
        Some(Line { sku: line.sku, name: line.name, quantity: line.quantity, unit_price })
    };
    Some(OrderEvent::Placed(Placement {
        customer: Uuid::parse_str(&placed.customer_id).ok()?,
        lines: placed.lines.into_iter().map(line).collect::<Option<_>>()?,
        total: amount(placed.total)?,
        cart_version: placed.cart_etag.parse().ok()?,
    }))
}

fn reason(reason: &Reason) -> proto::OrderReason {
    proto::OrderReason { reason: reason.reason.clone(), detail: reason.detail.clone() }
}
