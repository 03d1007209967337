use mesh_log::Traced as _;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{digest_from_sql, stock::stock_then_from_row};
use crate::domain::Delivery;

/// Finds the deliveries with these ids; those that never came are absent.
pub async fn find_deliveries(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Delivery>> {
    sqlx::query("SELECT * FROM deliveries WHERE id = ANY($1)")
        .bind(ids)
        .fetch_all(tx)
        .traced("SELECT deliveries")
        .await?
        .iter()
        .map(delivery_from_row)
        .collect()
}

fn delivery_from_row(row: &PgRow) -> sqlx::Result<Delivery> {
    Ok(Delivery {
        id: row.try_get("id")?,
        digest: digest_from_sql(row.try_get("digest")?)?,
        quantity: row.try_get("quantity")?,
        stock: stock_then_from_row(row)?,
    })
}
