use mesh_log::Traced as _;
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
    .traced("INSERT stock")
    .await?;
    Ok(())
}

/// Reads the stock of these SKUs and holds it until the transaction ends.
pub async fn lock_stock(tx: &mut PgConnection, skus: &[&str]) -> sqlx::Result<Vec<Stock>> {
    sqlx::query("SELECT * FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE")
        .bind(skus)
        .fetch_all(tx)
        .traced("SELECT stock")
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
        .traced("SELECT stock")
        .await?
        .as_ref()
        .map(stock_from_row)
        .transpose()
}

/// Finds the stock of those of these SKUs that were ever delivered, in any order.
pub async fn find_stock(connection: &mut PgConnection, skus: &[Sku]) -> sqlx::Result<Vec<Stock>> {
    sqlx::query("SELECT * FROM stock WHERE sku = ANY($1) AND version > 0")
        .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
        .fetch_all(connection)
        .traced("SELECT stock")
        .await?
        .iter()
        .map(stock_from_row)
        .collect()
}

/// Lists at most `limit` SKUs behind `after`, by SKU; only those that are low if so wanted.
pub async fn list_stock(
    connection: &mut PgConnection,
    after: Option<&Sku>,
    low_only: bool,
    limit: i64,
) -> sqlx::Result<Vec<Stock>> {
    let all = "SELECT * FROM stock WHERE sku > $1 AND version > 0 ORDER BY sku LIMIT $2";
    let low = "SELECT * FROM stock
               WHERE sku > $1 AND version > 0 AND threshold > 0 AND on_hand <= threshold
               ORDER BY sku LIMIT $2";
    sqlx::query(if low_only { low } else { all })
        .bind(after.map_or("", Sku::as_str))
        .bind(limit)
        .fetch_all(connection)
        .traced("SELECT stock")
        .await?
        .iter()
        .map(stock_from_row)
        .collect()
}

fn stock_from_row(row: &PgRow) -> sqlx::Result<Stock> {
    Ok(Stock { told: row.try_get("told")?, ..stock_then_from_row(row)? })
}

/// Reads the columns that tables with a stock's balances share; what was told by then they forget.
pub(super) fn stock_then_from_row(row: &PgRow) -> sqlx::Result<Stock> {
    Ok(Stock {
        sku: Sku::parse(row.try_get("sku")?).ok_or_else(|| corrupt("sku"))?,
        version: row.try_get("version")?,
        supplier: row.try_get("supplier")?,
        on_hand: row.try_get("on_hand")?,
        reserved: row.try_get("reserved")?,
        committed: row.try_get("committed")?,
        shipped: row.try_get("shipped")?,
        lost: row.try_get("lost")?,
        threshold: row.try_get("threshold")?,
        threshold_version: row.try_get("threshold_version")?,
        told: 0,
    })
}
