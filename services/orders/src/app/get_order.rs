//! Orders as they are, and as they were.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Orders};
use crate::{
    domain::{Order, OrderEvent},
    events,
    store::decode,
};

/// An order, and when it came to be what it is, by the database's clock.
#[derive(Clone, Debug)]
pub struct Shown {
    pub order: Order,
    pub created: OffsetDateTime,
    pub updated: OffsetDateTime,
}

/// Returns an order as it is, or as it was at a version.
pub async fn get_order(
    orders: &Orders,
    id: Uuid,
    version: Option<i32>,
) -> Result<Shown, Error> {
    match version {
        Some(version) => order_at(orders, id, version).await,
        None => {
            let stored = orders.engine.streams().load(id).await?.ok_or(Error::NotFound)?;
            let kept = decode(id, stored.version, &stored.state).ok_or(Error::Unreadable)?;
            Ok(Shown { order: kept.order, created: stored.created_at, updated: stored.updated_at })
        }
    }
}

async fn order_at(orders: &Orders, id: Uuid, version: i32) -> Result<Shown, Error> {
    let history = history(orders, id).await?;
    let wanted = usize::try_from(version).map_err(|_| Error::VersionAhead)?;
    history.into_iter().nth(wanted.saturating_sub(1)).map(|(_, _, shown)| shown).ok_or(Error::VersionAhead)
}

/// Every event of an order, with its log type and the order after it, oldest first.
pub async fn history(
    orders: &Orders,
    id: Uuid,
) -> Result<Vec<(OrderEvent, String, Shown)>, Error> {
    let recorded = orders.engine.streams().events(id, 0).await?;
    let created = recorded.first().ok_or(Error::NotFound)?.at;
    let mut order: Option<Order> = None;
    let mut history = Vec::with_capacity(recorded.len());
    for row in recorded {
        let event = events::from_log(&row.kind, &row.body).ok_or(Error::Unreadable)?;
        match &mut order {
            Some(order) => order.apply(&event),
            None => order = Order::fold(id, [event.clone()]),
        }
        let order = order.clone().ok_or(Error::Unreadable)?;
        let kind = if row.public { row.kind } else { String::new() };
        history.push((event, kind, Shown { order, created, updated: row.at }));
    }
    Ok(history)
}
