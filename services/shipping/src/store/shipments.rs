//! Reads and locks rows of `shipments`.

use mesh_log::Pool;
use sqlx::{FromRow as _, PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Row, columns};
use crate::domain::Shipment;

/// The last sequence of each of some parcels' ways.
pub const LAST_SEQUENCES: &str = "SELECT id, version + positions FROM shipments WHERE id = ANY($1)";

/// Takes those of `ids` that nobody has taken, each with a placeholder that is locked; waits for
/// whoever is taking one of them. Returns what it took, and the database's time.
pub async fn claim(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<(Uuid, OffsetDateTime)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "INSERT INTO shipments (id) SELECT id FROM unnest($1::uuid[]) AS ids(id) ORDER BY id
         ON CONFLICT (id) DO NOTHING
         RETURNING id, now()",
    )
    .bind(ids)
    .fetch_all(tx)
    .await
}

/// Locks the shipments with these ids, in their order. Returns them, and the database's time.
pub async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<(Row, OffsetDateTime)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        ", now() AS now FROM shipments WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    ))
    .bind(ids)
    .fetch_all(tx)
    .await?;
    rows.iter().map(|row| Ok((Row::from_row(row)?, row.try_get("now")?))).collect()
}

/// Returns the shipment with this id.
pub async fn get(db: &Pool, id: Uuid) -> sqlx::Result<Option<Shipment>> {
    let query = concat!("SELECT ", columns!(), " FROM shipments WHERE id = $1");
    let row: Option<Row> = sqlx::query_as(query).bind(id).fetch_optional(db).await?;
    Ok(row.map(|row| row.shipment))
}
