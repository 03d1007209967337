//! Reads and locks rows of `shipments`.

use mesh_log::{Pool, Traced as _};
use sqlx::{FromRow as _, PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Row, columns};
use crate::domain::Shipment;

/// The last sequence of each of some parcels' ways.
pub const LAST_SEQUENCES: &str = "SELECT id, version + positions FROM shipments WHERE id = ANY($1)";

/// Locks the shipments with these ids, in their order. Returns them, and the transaction's time. An id
/// without a shipment is not held: see [`save`](super::save).
pub async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<(Vec<Row>, OffsetDateTime)> {
    let rows = sqlx::query(concat!(
        "WITH locked AS (SELECT ",
        columns!(),
        " FROM shipments WHERE id = ANY($1) ORDER BY id FOR UPDATE)
         SELECT locked.*, now() AS now FROM (VALUES (1)) AS always LEFT JOIN locked ON true",
    ))
    .bind(ids)
    .fetch_all(tx)
    .traced("SELECT shipments")
    .await?;
    let (mut locked, mut now) = (Vec::with_capacity(rows.len()), OffsetDateTime::UNIX_EPOCH);
    for row in &rows {
        now = row.try_get("now")?;
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            locked.push(Row::from_row(row)?);
        }
    }
    Ok((locked, now))
}

/// Returns the shipment with this id, if it is this customer's where one is named.
pub async fn get(db: &Pool, id: Uuid, only_of: Option<Uuid>) -> sqlx::Result<Option<Shipment>> {
    let query = concat!(
        "SELECT ",
        columns!(),
        " FROM shipments WHERE id = $1 AND ($2::uuid IS NULL OR customer_id = $2)"
    );
    let row: Option<Row> = sqlx::query_as(query).bind(id).bind(only_of).fetch_optional(db).await?;
    Ok(row.map(|row| row.shipment))
}
