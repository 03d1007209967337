//! Lists of shipments, the oldest first.

use mesh_log::{Pool, Traced as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Row, columns};
use crate::domain::{Shipment, State};

/// Which shipments are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Of { order_id: Uuid, state: Option<State> },
    In { state: State },
}

/// Returns the first `limit` shipments after a place in the list, of a customer if one is named. Marks
/// are not among them.
pub async fn list(
    db: &Pool,
    listed: Listed,
    only_of: Option<Uuid>,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<Shipment>> {
    // Nothing is that old.
    let (created, id) = after.unwrap_or((OffsetDateTime::UNIX_EPOCH, Uuid::nil()));
    let query = match listed {
        Listed::Of { order_id, state } => sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM shipments
             WHERE order_id = $1 AND ($2::text IS NULL OR state = $2) AND (created_at, id) > ($3, $4)
               AND ($6::uuid IS NULL OR customer_id = $6)
             ORDER BY created_at, id LIMIT $5",
        ))
        .bind(order_id)
        .bind(state.map(State::as_str)),
        Listed::In { state } => sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM shipments
             WHERE state = $1 AND order_id IS NOT NULL AND (created_at, id) > ($2, $3)
               AND ($5::uuid IS NULL OR customer_id = $5)
             ORDER BY created_at, id LIMIT $4",
        ))
        .bind(state.as_str()),
    };
    let rows: Vec<Row> = query
        .bind(created)
        .bind(id)
        .bind(limit)
        .bind(only_of)
        .fetch_all(&mut *db.read().await?)
        .traced("SELECT shipments")
        .await?;
    Ok(rows.into_iter().map(|row| row.shipment).collect())
}
