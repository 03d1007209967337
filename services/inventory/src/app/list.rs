//! Lists: at most a page of them, and whether there is more.

use mesh_log::{Database, SubmitError};

use crate::{
    domain::{MovementsOf, Recorded, Sku, Stock},
    store,
};

/// Lists SKUs behind `after`; only those that are low if so wanted.
pub async fn list_stock(
    db: &Database,
    after: Option<&Sku>,
    low_only: bool,
    size: usize,
) -> Result<(Vec<Stock>, bool), SubmitError> {
    let mut connection = db.pool().read().await?;
    let found = store::list_stock(&mut connection, after, low_only, one_more(size)).await?;
    Ok(page(found, size))
}

/// Lists movements behind `after`.
pub async fn list_movements(
    db: &Database,
    of: &MovementsOf,
    after: Option<i64>,
    size: usize,
) -> Result<(Vec<Recorded>, bool), SubmitError> {
    let mut connection = db.pool().read().await?;
    let found = store::list_movements(&mut connection, of, after, one_more(size)).await?;
    Ok(page(found, size))
}

/// Whether there is more is known by reading one more.
fn one_more(size: usize) -> i64 {
    i64::try_from(size).map_or(i64::MAX, |size| size + 1)
}

fn page<T>(mut found: Vec<T>, size: usize) -> (Vec<T>, bool) {
    let more = found.len() > size;
    found.truncate(size);
    (found, more)
}
