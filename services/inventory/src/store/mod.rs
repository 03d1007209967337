//! SQL for this service's tables. Takes the caller's transaction, never opens one. Rows are locked
//! in the order of their keys, reservations before stock, so that replicas cannot deadlock.

mod deliveries;
mod reservations;
mod stock;
mod writes;

pub use deliveries::find_deliveries;
pub use reservations::{
    due_reservations, get_reservation, keep_ids_free, lock_reservations, reservations_of_orders,
};
pub use stock::{get_stock, keep_skus_free, lock_stock};
pub use writes::{drop_unused, write};

use crate::domain::Digest;

fn digest_from_sql(bytes: Vec<u8>) -> sqlx::Result<Digest> {
    bytes.try_into().map_err(|_| corrupt("digest"))
}

fn corrupt(column: &'static str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.into(), source: "unexpected value".into() }
}
