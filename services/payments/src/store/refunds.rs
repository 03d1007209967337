//! What is being given back, and what was.

use std::collections::HashMap;

use mesh_log::{Pool, Traced as _};
use shop::money::{Currency, Money};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::undecodable;
use crate::domain::{Given, Refund};

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
    .traced("SELECT refunds")
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
    .traced("INSERT refunds")
    .await
    .map(drop)
}

/// Notes that these refunds are with the customer.
pub async fn finish(tx: &mut PgConnection, refunds: &[Uuid]) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    sqlx::query("UPDATE refunds SET done = true, complete_time = now() WHERE refund_id = ANY($1)")
        .bind(refunds)
        .execute(tx)
        .traced("UPDATE refunds")
        .await
        .map(drop)
}

/// The refund, if there is one.
pub async fn get(db: &Pool, id: Uuid) -> sqlx::Result<Option<Given>> {
    let row = sqlx::query(
        "SELECT refund_id, payment_id, refunds.amount_minor AS refund_minor, done,
             refunds.create_time AS refund_time, complete_time, currency
         FROM refunds JOIN payments USING (payment_id)
         WHERE refund_id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let currency = Currency::parse(row.try_get("currency")?);
    given(&row, currency.ok_or_else(|| undecodable("payments.currency"))?)
}

/// Reads a row; `None` if it holds a payment without a refund.
pub(super) fn given(row: &PgRow, currency: Currency) -> sqlx::Result<Option<Given>> {
    let Some(id) = row.try_get("refund_id")? else { return Ok(None) };
    Ok(Some(Given {
        id,
        payment_id: row.try_get("payment_id")?,
        amount: Money::new(currency, row.try_get("refund_minor")?),
        is_done: row.try_get("done")?,
        create_time: row.try_get("refund_time")?,
        complete_time: row.try_get("complete_time")?,
    }))
}
