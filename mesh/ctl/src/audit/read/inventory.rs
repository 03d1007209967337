//! Balances, movements, reservations and write-offs, at one moment.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::Unreadable;
use super::super::facts::{Bucket, Facts, Reservation};
use super::database::Database;

pub async fn read(database: &Database, facts: &mut Facts) -> Result<(), Unreadable> {
    let mut snapshot = database.snapshot().await?;
    let stock = sqlx::query_as("SELECT sku, bucket, quantity FROM audit_stock");
    facts.stock = by_bucket(snapshot.all("audit_stock", stock).await?);
    let movements = sqlx::query_as("SELECT sku, bucket, quantity FROM audit_movements");
    facts.movements = by_bucket(snapshot.all("audit_movements", movements).await?);
    let reservations = sqlx::query_as::<_, (Uuid, String, String, i64)>(
        "SELECT order_id, sku, bucket, quantity FROM audit_reservations",
    );
    let reservations = snapshot.all("audit_reservations", reservations).await?;
    let write_offs = sqlx::query_as("SELECT sku, 'lost', quantity FROM audit_write_offs");
    facts.write_offs = by_bucket(snapshot.all("audit_write_offs", write_offs).await?);
    snapshot.end().await;
    let reservation =
        |(order, sku, name, quantity)| Reservation { order, at: Bucket { sku, name }, quantity };
    facts.reservations = reservations.into_iter().map(reservation).collect();
    Ok(())
}

fn by_bucket(rows: Vec<(String, String, i64)>) -> HashMap<Bucket, i64> {
    let mut sums = HashMap::new();
    for (sku, name, quantity) in rows {
        *sums.entry(Bucket { sku, name }).or_default() += quantity;
    }
    sums
}
