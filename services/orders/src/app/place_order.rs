//! Orders what is in a cart.

use mesh_log::{Change, Outcome};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Orders, Shown};
use crate::{
    checkout,
    domain::{Cart, CartRefusal, Order, OrderEvent, Placement, total},
    events,
    store::{AuditRow, CartTake, Kept, OrderRows, Private, decode, encode},
};

/// Asks for an order.
pub struct PlaceOrder {
    pub request_id: Uuid,
    pub customer: Uuid,
    pub cart_version: i64,
    pub private: Private,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
}

/// Accepts an order, or returns the one that an earlier call with this request made: the order as
/// it was accepted.
///
/// Whether the request is new is known before anything of today's state can refuse it.
pub async fn place_order(orders: &Orders, command: PlaceOrder) -> Result<Shown, Error> {
    let id = Uuid::new_v5(&command.customer, command.request_id.as_bytes());
    tracing::Span::current().record("order_id", tracing::field::display(id));
    let (known, cart) = tokio::try_join!(earlier(orders, id, &command), async {
        let cart = orders.carts.submit(command.customer).await?;
        Ok(cart.map_or_else(|| Cart::empty(command.customer), |(cart, _)| cart))
    })?;
    if let Some(known) = known {
        return Ok(known);
    }
    match placement(orders, id, &command, cart).await {
        Ok(placement) => {
            let (order, event) = Order::place(id, placement);
            accept(orders, &command, order, event).await
        }
        // The same request may have been accepted since, and even have ended and emptied the cart.
        Err(refusal) => earlier(orders, id, &command).await?.ok_or(refusal),
    }
}

/// The order that an earlier call with the same request made.
async fn earlier(orders: &Orders, id: Uuid, command: &PlaceOrder) -> Result<Option<Shown>, Error> {
    let Some(stored) = orders.engine.streams().load(id).await? else { return Ok(None) };
    let kept = decode(id, stored.version, &stored.state).ok_or(Error::Unreadable)?;
    if kept.digest != command.digest {
        return Err(Error::ContentDiffers);
    }
    Ok(Some(accepted(id, kept.order.placement, stored.created_at)))
}

/// An order as it was when it was accepted.
fn accepted(id: Uuid, placement: Placement, at: OffsetDateTime) -> Shown {
    let (order, _) = Order::place(id, placement);
    Shown { order, created: at, updated: at }
}

async fn placement(
    orders: &Orders,
    id: Uuid,
    command: &PlaceOrder,
    cart: Cart,
) -> Result<Placement, Error> {
    let lines = cart.take(id, command.cart_version)?;
    let lines = orders.neighbours.price(lines).await?;
    let total = total(&lines)?;
    let PlaceOrder { customer, cart_version, .. } = *command;
    Ok(Placement { customer, lines, total, cart_version })
}

async fn accept(
    orders: &Orders,
    command: &PlaceOrder,
    order: Order,
    event: OrderEvent,
) -> Result<Shown, Error> {
    let id = order.id;
    let kept = Kept { order, digest: command.digest };
    let change = change(orders, command, &kept, &event);
    match orders.engine.streams().commit(change).await? {
        Outcome::Accepted(at) | Outcome::Already(at) => {
            orders.private.keep(id, command.private.clone());
            tracing::info!(order_id = %id, "order placed");
            let shown = accepted(id, kept.order.placement.clone(), at);
            orders.engine.drive(id, kept);
            Ok(shown)
        }
        // Another call with the same request was faster; or another order, or a change of the cart.
        Outcome::Conflict | Outcome::Refused(_) => {
            earlier(orders, id, command).await?.ok_or(Error::Cart(CartRefusal::Changed))
        }
    }
}

fn change(
    orders: &Orders,
    command: &PlaceOrder,
    kept: &Kept,
    event: &OrderEvent,
) -> Change<OrderRows> {
    let take = CartTake { customer: command.customer, version: command.cart_version };
    Change {
        label: "place",
        key: kept.order.id,
        expected: 0,
        state: encode(kept),
        awake: checkout::awake(&kept.order, &[]),
        owner: orders.engine.owner(),
        events: vec![events::to_log(&kept.order, event)],
        companion: OrderRows {
            take: Some(take),
            audit: Some(AuditRow::of(&kept.order)),
            private: Some(command.private.clone()),
            ..OrderRows::default()
        },
    }
}
