//! SQL for this service's tables. Takes the caller's transaction, never opens one. Rows are locked
//! in the order of their keys, reservations before stock, so that replicas cannot deadlock.

mod adjustments;
mod deliveries;
mod movements;
mod reservations;
mod stock;
mod writes;

pub use adjustments::find_adjustments;
pub use deliveries::find_deliveries;
pub use movements::list_movements;
pub use reservations::{
    due_reservations, get_reservation, lock_reservations, reservations_of_orders,
};
pub use stock::{find_stock, get_stock, keep_skus_free, list_stock, lock_stock};
pub use writes::{drop_unused, write};

use crate::domain::Digest;

fn digest_from_sql(bytes: Vec<u8>) -> sqlx::Result<Digest> {
    bytes.try_into().map_err(|_| corrupt("digest"))
}

fn corrupt(column: &'static str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.into(), source: "unexpected value".into() }
}
