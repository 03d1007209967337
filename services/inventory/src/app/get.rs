use mesh_log::Database;
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{Reservation, Sku, Stock},
    store,
};

/// Returns how many pieces of a SKU are where.
pub async fn get_stock(db: &Database, sku: Sku) -> Result<Stock, Error> {
    let mut connection = db.pool().acquire().await?;
    let stock = store::get_stock(&mut connection, &sku).await?;
    stock.ok_or(Error::StockNotFound { sku })
}

/// Returns one reservation.
pub async fn get_reservation(db: &Database, id: Uuid) -> Result<Reservation, Error> {
    let mut connection = db.pool().acquire().await?;
    store::get_reservation(&mut connection, id).await?.ok_or(Error::ReservationNotFound)
}
