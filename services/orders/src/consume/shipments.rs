//! A parcel's way moves its order.

use futures::{FutureExt as _, future::BoxFuture};
use mesh_events::{Claim, HandleError, Handler, Incoming};
use mesh_log::Outcome;
use prost::Message as _;
use shop::shipping::v1 as shipping;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    checkout::{self, Engine},
    domain::{Order, OrderEvent},
    metrics::End,
    store::{Kept, decode},
};

/// The events that this service listens to.
pub const SUBJECTS: &[&str] = &[
    "shop.shipping.v1.ShipmentDispatched",
    "shop.shipping.v1.ShipmentDelivered",
    "shop.shipping.v1.ShipmentLost",
];

/// Follows parcels.
pub struct Shipments {
    pub engine: Engine,
}

/// Decides what a parcel's event means for its order.
type Rule = fn(&Order) -> Vec<OrderEvent>;

impl Handler for Shipments {
    fn handle(&self, event: Incoming, claim: Claim) -> BoxFuture<'_, Result<(), HandleError>> {
        async move {
            let (order, rule) = read(&event)?;
            let engine = self.engine.clone();
            let db = engine.streams().database().clone();
            let moved = mesh_log::transact(&db, "shipment_event", move |tx| {
                async move {
                    if !claim.take(tx).await? {
                        return Ok(None);
                    }
                    move_order(tx, &engine, order, rule).await
                }
                .boxed()
            })
            .await?;
            if let Some((kept, end)) = moved {
                if let Some(end) = end {
                    end.count();
                }
                tracing::info!(order_id = %order, state = ?kept.order.state, "order moved by parcel");
                self.engine.streams().announce(order, kept.order.version);
                self.engine.drive(order, kept);
            }
            Ok(())
        }
        .boxed()
    }
}

fn read(event: &Incoming) -> Result<(Uuid, Rule), HandleError> {
    let body = event.body.clone();
    let (order, rule): (String, Rule) = match event.kind.as_str() {
        "shop.shipping.v1.ShipmentDispatched" => {
            (shipping::ShipmentDispatched::decode(body)?.order_id, Order::dispatched)
        }
        "shop.shipping.v1.ShipmentDelivered" => {
            (shipping::ShipmentDelivered::decode(body)?.order_id, Order::delivered)
        }
        "shop.shipping.v1.ShipmentLost" => {
            (shipping::ShipmentLost::decode(body)?.order_id, Order::lost)
        }
        other => return Err(HandleError::Undecodable(format!("unknown type {other}"))),
    };
    let order = Uuid::parse_str(&order)
        .map_err(|_| HandleError::Undecodable("order_id is not a UUID".into()))?;
    Ok((order, rule))
}

/// The order after the event, if it moved, and the end that it came to by that.
async fn move_order(
    tx: &mut PgConnection,
    engine: &Engine,
    id: Uuid,
    rule: Rule,
) -> Result<Option<(Kept, Option<End>)>, HandleError> {
    // A parcel of somebody else's: nothing here to move.
    let Some(stored) = engine.streams().load_in(tx, id).await? else { return Ok(None) };
    let kept = decode(id, stored.version, &stored.state)
        .ok_or_else(|| HandleError::failed("the order's stream cannot be read"))?;
    let events = rule(&kept.order);
    if events.is_empty() {
        return Ok(None);
    }
    let (kept, mut change) = checkout::change("shipment_event", &kept, &events, None);
    change.owner = engine.owner();
    match engine.streams().commit_in(tx, change).await? {
        Outcome::Accepted(_) | Outcome::Already(_) => Ok(Some((kept, End::of(&events)))),
        // The row is locked, so nobody can have come between.
        Outcome::Conflict | Outcome::Refused(_) => {
            Err(HandleError::failed("the order changed while it was locked"))
        }
    }
}
