//! An order's events, as one change of its stream and of the rows that go with it.

use mesh_log::{Awake, Change};

use crate::{
    domain::{Action, Order, OrderEvent, Progress, State},
    events,
    metrics::End,
    store::{AuditRow, CartEnd, Forget, Kept, OrderRows, RequestSeen, encode},
};

/// The order after `events`, and the change that makes it so.
pub fn change(
    label: &'static str,
    before: &Kept,
    events: &[OrderEvent],
    request: Option<RequestSeen>,
) -> (Kept, Change<OrderRows>) {
    let mut after = before.clone();
    after.order.apply_all(events);
    let companion = OrderRows {
        take: None,
        cart: cart_end(&after.order, events),
        request,
        audit: shown_change(&before.order, &after.order).then(|| AuditRow::of(&after.order)),
        private: None,
        forget: forget(events),
        end: End::of(events),
    };
    let change = Change {
        label,
        key: before.order.id,
        expected: before.order.version,
        state: encode(&after),
        awake: awake(&after.order, events),
        owner: None,
        events: events.iter().map(|event| events::to_log(&after.order, event)).collect(),
        companion,
    };
    (after, change)
}

/// Whether the checkout has work to do; a turn that a person asked for gets time of its own.
pub fn awake(order: &Order, events: &[OrderEvent]) -> Awake {
    let anew = |event: &OrderEvent| {
        matches!(
            event,
            OrderEvent::CancelRequested
                | OrderEvent::Resumed
                | OrderEvent::CompensationOrdered
                | OrderEvent::Lost(_)
        )
    };
    match order.progress {
        Progress::Ended => Awake::No,
        _ if events.iter().any(anew) => Awake::Anew,
        _ => Awake::Yes,
    }
}

fn shown_change(before: &Order, after: &Order) -> bool {
    (before.state, before.parked.is_some()) != (after.state, after.parked.is_some())
}

/// The cart is cleared by the confirming change and given back if the order comes to nothing.
fn cart_end(order: &Order, events: &[OrderEvent]) -> Option<CartEnd> {
    let clear = match order.state {
        State::Confirmed if events.contains(&OrderEvent::Confirmed) => true,
        State::Rejected | State::Cancelled => false,
        _ => return None,
    };
    let (customer, version) = (order.placement.customer, order.placement.cart_version);
    Some(CartEnd { customer, version, clear })
}

/// The token is needed until the authorization is known, the address until the shipment exists.
fn forget(events: &[OrderEvent]) -> Option<Forget> {
    events.iter().find_map(|event| match event {
        OrderEvent::Done(Action::AuthorizePayment) => Some(Forget::CardToken),
        OrderEvent::Done(Action::CreateShipment)
        | OrderEvent::Rejected(_)
        | OrderEvent::Cancelled
        | OrderEvent::Resolved(_) => Some(Forget::All),
        _ => None,
    })
}
