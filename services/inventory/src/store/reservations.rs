use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{corrupt, digest_from_sql};
use crate::domain::{Line, Origin, Reservation, Sku, State};

/// Makes sure that every id has a row to lock, and returns those that nobody used before with the
/// database's time. Waits for whoever is using one of them right now.
pub async fn keep_ids_free(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<(Uuid, OffsetDateTime)>> {
    sqlx::query_as(
        "INSERT INTO reservations (id)
         SELECT DISTINCT id FROM unnest($1::uuid[]) AS t (id) ORDER BY id
         ON CONFLICT DO NOTHING
         RETURNING id, create_time",
    )
    .bind(ids)
    .fetch_all(tx)
    .await
}

/// Reads these reservations and holds them until the transaction ends.
pub async fn lock_reservations(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<Reservation>> {
    sqlx::query("SELECT * FROM reservations WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind(ids)
        .fetch_all(tx)
        .await?
        .iter()
        .map(reservation_from_row)
        .collect()
}

/// Names the reservations that were made for these orders.
pub async fn reservations_of_orders(
    tx: &mut PgConnection,
    order_ids: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT id FROM reservations WHERE order_id = ANY($1)")
        .bind(order_ids)
        .fetch_all(tx)
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
