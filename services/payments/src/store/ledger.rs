//! The ledger's rows.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::Posting;

/// One side of the transaction that a payment's version stands for.
pub struct Entry {
    pub payment_id: Uuid,
    pub version: i32,
    pub posting: Posting,
}

/// Enters transactions in the ledger.
pub async fn insert(tx: &mut PgConnection, entries: &[Entry]) -> sqlx::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let amounts = || entries.iter().map(|it| it.posting.amount);
    sqlx::query(
        "INSERT INTO ledger_entries (payment_id, version, account, currency, amount_minor)
         SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::bigint[])",
    )
    .bind(entries.iter().map(|it| it.payment_id).collect::<Vec<_>>())
    .bind(entries.iter().map(|it| it.version).collect::<Vec<_>>())
    .bind(entries.iter().map(|it| it.posting.account).collect::<Vec<_>>())
    .bind(amounts().map(|it| it.currency.as_str()).collect::<Vec<_>>())
    .bind(amounts().map(|it| it.minor).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}
