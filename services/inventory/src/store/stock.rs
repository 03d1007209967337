use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::corrupt;
use crate::domain::{Sku, Stock};

/// Makes sure that every SKU has a row to lock, even before its first delivery.
pub async fn keep_skus_free(tx: &mut PgConnection, skus: &[&str]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO stock (sku)
         SELECT DISTINCT sku FROM unnest($1::text[]) AS t (sku) ORDER BY sku
         ON CONFLICT DO NOTHING",
    )
    .bind(skus)
    .execute(tx)
    .await?;
    Ok(())
}

/// Reads the stock of these SKUs and holds it until the transaction ends.
pub async fn lock_stock(tx: &mut PgConnection, skus: &[&str]) -> sqlx::Result<Vec<Stock>> {
    sqlx::query("SELECT * FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE")
        .bind(skus)
        .fetch_all(tx)
        .await?
        .iter()
        .map(stock_from_row)
        .collect()
}

/// Finds the stock of a SKU that was ever delivered.
pub async fn get_stock(connection: &mut PgConnection, sku: &Sku) -> sqlx::Result<Option<Stock>> {
    sqlx::query("SELECT * FROM stock WHERE sku = $1 AND version > 0")
        .bind(sku.as_str())
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(stock_from_row)
        .transpose()
}

/// Reads the columns that tables with a stock's balances share.
pub(super) fn stock_from_row(row: &PgRow) -> sqlx::Result<Stock> {
    Ok(Stock {
        sku: Sku::parse(row.try_get("sku")?).ok_or_else(|| corrupt("sku"))?,
        version: row.try_get("version")?,
        supplier: row.try_get("supplier")?,
        on_hand: row.try_get("on_hand")?,
        reserved: row.try_get("reserved")?,
        committed: row.try_get("committed")?,
        shipped: row.try_get("shipped")?,
        lost: row.try_get("lost")?,
    })
}
