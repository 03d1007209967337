//! Reads and locks rows of `shipments`.

use sqlx::{FromRow as _, PgConnection, PgPool, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Address, Shipment, State};

/// What is kept of a shipment.
pub struct Row {
    pub shipment: Shipment,
    /// Digest of the request that created it; `None` in the mark of a cancel.
    pub digest: Option<[u8; 16]>,
    /// Set only by whoever creates the shipment; an address is never read with the rest.
    pub address: Option<Address>,
}

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
    let rows = sqlx::query(
        "SELECT id, digest, order_id, state, version, created_at, released_at, dispatched_at,
                ended_at, now() AS now
         FROM shipments WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    rows.iter().map(|row| Ok((Row::from_row(row)?, row.try_get("now")?))).collect()
}

/// Returns the shipment with this id.
pub async fn get(db: &PgPool, id: Uuid) -> sqlx::Result<Option<Shipment>> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, digest, order_id, state, version, created_at, released_at, dispatched_at,
                ended_at
         FROM shipments WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.shipment))
}

impl sqlx::FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let shipment = Shipment {
            id: row.try_get("id")?,
            order_id: row.try_get("order_id")?,
            state: state(row.try_get("state")?)?,
            version: row.try_get("version")?,
            created: row.try_get("created_at")?,
            released: row.try_get("released_at")?,
            dispatched: row.try_get("dispatched_at")?,
            ended: row.try_get("ended_at")?,
        };
        let digest: Option<Vec<u8>> = row.try_get("digest")?;
        let digest = digest.map(<[u8; 16]>::try_from).transpose();
        let digest = digest.map_err(|_| sqlx::Error::Decode("a digest has 16 bytes".into()))?;
        Ok(Self { shipment, digest, address: None })
    }
}

fn state(text: &str) -> sqlx::Result<State> {
    Ok(match text {
        "HELD" => State::Held,
        "RELEASED" => State::Released,
        "DISPATCHED" => State::Dispatched,
        "DELIVERED" => State::Delivered,
        "LOST" => State::Lost,
        "CANCELLED" => State::Cancelled,
        other => return Err(sqlx::Error::Decode(format!("unknown state {other}").into())),
    })
}
