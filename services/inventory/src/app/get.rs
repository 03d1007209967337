use std::collections::HashMap;

use mesh_log::{Database, SubmitError};
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{Refusal, Reservation, Sku, Stock},
    store,
};

/// Stock in the order in which it was asked for, and the SKUs that nobody ever delivered.
#[derive(Debug, Default)]
pub struct Found {
    pub stock: Vec<Stock>,
    pub missing: Vec<Sku>,
}

/// Returns how many pieces of a SKU are where.
pub async fn get_stock(db: &Database, sku: Sku) -> Result<Stock, Error> {
    let mut connection = db.pool().acquire().await?;
    let stock = store::get_stock(&mut connection, &sku).await?;
    Ok(stock.ok_or(Refusal::StockNotFound { sku })?)
}

/// Returns how many pieces of each of these SKUs are where.
pub async fn batch_get_stock(db: &Database, skus: Vec<Sku>) -> Result<Found, SubmitError> {
    let mut connection = db.pool().acquire().await?;
    let known = store::find_stock(&mut connection, &skus).await?;
    let mut known: HashMap<Sku, Stock> =
        known.into_iter().map(|stock| (stock.sku.clone(), stock)).collect();
    let mut found = Found::default();
    for sku in skus {
        match known.remove(&sku) {
            Some(stock) => found.stock.push(stock),
            None => found.missing.push(sku),
        }
    }
    Ok(found)
}

/// Returns one reservation.
pub async fn get_reservation(db: &Database, id: Uuid) -> Result<Reservation, Error> {
    let mut connection = db.pool().acquire().await?;
    let found = store::get_reservation(&mut connection, id).await?;
    Ok(found.ok_or(Refusal::ReservationNotFound)?)
}
