use mesh_log::Traced as _;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{corrupt, digest_from_sql, stock::stock_then_from_row};
use crate::domain::{Adjustment, AdjustmentReason};

/// Finds the adjustments with these ids; those that were never made are absent.
pub async fn find_adjustments(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<Adjustment>> {
    sqlx::query("SELECT * FROM adjustments WHERE id = ANY($1)")
        .bind(ids)
        .fetch_all(tx)
        .traced("SELECT adjustments")
        .await?
        .iter()
        .map(adjustment_from_row)
        .collect()
}

fn adjustment_from_row(row: &PgRow) -> sqlx::Result<Adjustment> {
    Ok(Adjustment {
        id: row.try_get("id")?,
        digest: digest_from_sql(row.try_get("digest")?)?,
        quantity: row.try_get("quantity")?,
        reason: reason_from_sql(row.try_get("reason")?)?,
        note: row.try_get("note")?,
        stock: stock_then_from_row(row)?,
    })
}

pub(super) fn reason_from_sql(name: &str) -> sqlx::Result<AdjustmentReason> {
    AdjustmentReason::parse(name).ok_or_else(|| corrupt("reason"))
}
