//! Questions about many orders, and about what happened to one.

use uuid::Uuid;

use super::{Chapter, Error, Orders, Story, Wanted};
use crate::store::{self, Filter, Listed, Place};

/// One page of a list, and where the next one begins if there is one.
pub struct Paged<T, P> {
    pub items: Vec<T>,
    pub next: Option<P>,
}

/// Orders behind a place in the list, newest first. Where they have to be `only_of` one user, these are
/// listed if no customer is named, and of another's there are none.
pub async fn list_orders(
    orders: &Orders,
    mut filter: Filter,
    only_of: Option<Uuid>,
    after: Option<Place>,
    size: usize,
) -> Result<Paged<Listed, Place>, Error> {
    if let Some(user) = only_of
        && *filter.customer.get_or_insert(user) != user
    {
        return Ok(Paged { items: Vec::new(), next: None });
    }
    // One more tells whether there is another page.
    let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
    let found = store::list(orders.db.pool(), filter, after, limit).await?;
    Ok(page(found, size, |last| Place { placed: last.placed, order: last.order }))
}

/// What happened to an order and is public, after a version, oldest first.
pub async fn list_order_events(
    orders: &Orders,
    wanted: Wanted,
    after: i32,
    size: usize,
) -> Result<Paged<Chapter, i32>, Error> {
    let mut told = Story::new(wanted).go_on(orders).await?;
    if told.is_empty() {
        return Err(Error::NotFound);
    }
    told.retain(|chapter| chapter.kind.is_some() && chapter.shown.order.version > after);
    Ok(page(told, size, |last| last.shown.order.version))
}

fn page<T, P>(mut items: Vec<T>, size: usize, place: impl Fn(&T) -> P) -> Paged<T, P> {
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(place);
    Paged { items, next }
}
