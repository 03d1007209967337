//! What is being given back, and what was.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::Refund;

/// The refunds of these payments whose outcome is not known, oldest first.
pub async fn pending(
    tx: &mut PgConnection,
    payments: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Vec<Refund>>> {
    let mut pending: HashMap<Uuid, Vec<Refund>> = HashMap::new();
    if payments.is_empty() {
        return Ok(pending);
    }
    let rows: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
        "SELECT payment_id, refund_id, amount_minor FROM refunds
         WHERE payment_id = ANY($1) AND NOT done
         ORDER BY create_time, refund_id",
    )
    .bind(payments)
    .fetch_all(tx)
    .await?;
    for (payment, id, minor) in rows {
        pending.entry(payment).or_default().push(Refund { id, minor });
    }
    Ok(pending)
}

/// Saves refunds that are meant now, each with its payment's id.
pub async fn insert(tx: &mut PgConnection, refunds: &[(Uuid, Refund)]) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO refunds (payment_id, refund_id, amount_minor)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])",
    )
    .bind(refunds.iter().map(|(payment, _)| *payment).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(_, refund)| refund.id).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(_, refund)| refund.minor).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

/// Notes that these refunds are with the customer.
pub async fn finish(tx: &mut PgConnection, refunds: &[Uuid]) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    sqlx::query("UPDATE refunds SET done = true WHERE refund_id = ANY($1)")
        .bind(refunds)
        .execute(tx)
        .await
        .map(drop)
}
