use mesh_log::Traced as _;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{corrupt, digest_from_sql};
use crate::domain::{Line, Origin, Reservation, Sku, State};

/// Reads these reservations and holds them until the transaction ends; with the transaction's time.
/// An id without a row is not held: see [`write`](super::write).
pub async fn lock_reservations(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<(Vec<Reservation>, OffsetDateTime)> {
    let rows = sqlx::query(
        "WITH locked AS (SELECT * FROM reservations WHERE id = ANY($1) ORDER BY id FOR UPDATE)
         SELECT locked.*, now() AS now FROM (VALUES (1)) AS always LEFT JOIN locked ON true",
    )
    .bind(ids)
    .fetch_all(tx)
    .traced("SELECT reservations")
    .await?;
    let (mut reservations, mut now) = (Vec::with_capacity(rows.len()), OffsetDateTime::UNIX_EPOCH);
    for row in &rows {
        now = row.try_get("now")?;
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            reservations.push(reservation_from_row(row)?);
        }
    }
    Ok((reservations, now))
}

/// Names the reservations that were made for these orders.
pub async fn reservations_of_orders(
    tx: &mut PgConnection,
    order_ids: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT id FROM reservations WHERE order_id = ANY($1)")
        .bind(order_ids)
        .fetch_all(tx)
        .traced("SELECT reservations")
        .await
}

/// Names holds that are over by the database's clock, the oldest first, at most `limit`.
pub async fn due_reservations(
    connection: &mut PgConnection,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT id FROM reservations
         WHERE state = 'reserved' AND expire_time <= now()
         ORDER BY expire_time LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .traced("SELECT reservations")
    .await
}

/// Finds a reservation.
pub async fn get_reservation(
    connection: &mut PgConnection,
    id: Uuid,
) -> sqlx::Result<Option<Reservation>> {
    sqlx::query("SELECT * FROM reservations WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .traced("SELECT reservations")
        .await?
        .as_ref()
        .map(reservation_from_row)
        .transpose()
}

fn reservation_from_row(row: &PgRow) -> sqlx::Result<Reservation> {
    let skus: Vec<String> = row.try_get("skus")?;
    let quantities: Vec<i64> = row.try_get("quantities")?;
    let line = |(sku, quantity): (String, i64)| {
        let sku = Sku::parse(&sku).ok_or_else(|| corrupt("skus"))?;
        Ok(Line { sku, quantity })
    };
    let states: Vec<String> = row.try_get("states")?;
    let state = |name: &String| State::parse(name).ok_or_else(|| corrupt("states"));
    if states.is_empty() {
        return Err(corrupt("states"));
    }
    Ok(Reservation {
        id: row.try_get("id")?,
        origin: origin_from_row(row)?,
        lines: skus.into_iter().zip(quantities).map(line).collect::<sqlx::Result<_>>()?,
        created_at: row.try_get("create_time")?,
        states: states.iter().map(state).collect::<sqlx::Result<_>>()?,
    })
}

/// Reads what made a reservation; the table has all of it or nothing.
fn origin_from_row(row: &PgRow) -> sqlx::Result<Option<Origin>> {
    let Some(order_id) = row.try_get("order_id")? else { return Ok(None) };
    Ok(Some(Origin {
        order_id,
        digest: digest_from_sql(row.try_get("digest")?)?,
        expires_at: row.try_get("expire_time")?,
    }))
}
