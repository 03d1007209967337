use mesh_log::Traced as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{adjustments::reason_from_sql, corrupt};
use crate::domain::{AdjustmentReason, Bucket, MovementsOf, Recorded, Sku, Subject};

/// Lists at most `limit` movements behind `after`, in the order that is asked for.
pub async fn list_movements(
    connection: &mut PgConnection,
    of: &MovementsOf,
    after: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Recorded>> {
    let column = match &of.what {
        Subject::Sku(_) => "sku",
        Subject::Order(_) | Subject::SkuOfOrder(..) => "order_id",
    };
    let query = sqlx::query(AssertSqlSafe(statement(column, of.oldest_first)));
    let query = match &of.what {
        Subject::Sku(sku) | Subject::SkuOfOrder(sku, _) => query.bind(Some(sku.as_str())),
        Subject::Order(_) => query.bind(None::<&str>),
    };
    let query = query.bind(after.unwrap_or(if of.oldest_first { 0 } else { i64::MAX })).bind(limit);
    let query = match &of.what {
        Subject::Sku(_) => query,
        Subject::Order(order_id) | Subject::SkuOfOrder(_, order_id) => query.bind(order_id),
    };
    query
        .fetch_all(connection)
        .traced("SELECT movements")
        .await?
        .iter()
        .map(movement_from_row)
        .collect()
}

/// The statement for movements by `column`, which is a constant.
///
/// The bounds say what an equation would, and the order names the column: so only the index that
/// begins with it gives the order, and no plan walks through the movements of others.
fn statement(column: &str, oldest_first: bool) -> String {
    let (given, filter) = match column {
        "sku" => ("$1", ""),
        _ => ("$4", "AND ($1::text IS NULL OR m.sku = $1)"),
    };
    let (behind, order) = if oldest_first { (">", "ASC") } else { ("<", "DESC") };
    format!(
        "SELECT m.*, a.reason, a.note
         FROM movements AS m
         LEFT JOIN LATERAL (
             SELECT reason, note FROM adjustments WHERE id = m.adjustment_id LIMIT 1
         ) AS a ON true
         WHERE m.{column} >= {given} AND m.{column} <= {given}
               AND (m.{column}, m.id) {behind} ({given}, $2) {filter}
         ORDER BY m.{column} {order}, m.id {order} LIMIT $3"
    )
}

fn movement_from_row(row: &PgRow) -> sqlx::Result<Recorded> {
    Ok(Recorded {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        sku: Sku::parse(row.try_get("sku")?).ok_or_else(|| corrupt("sku"))?,
        from: bucket(row, "from_bucket")?,
        to: bucket(row, "to_bucket")?,
        quantity: row.try_get("quantity")?,
        reservation: row.try_get("reservation_id")?,
        order_id: row.try_get("order_id")?,
        delivery: row.try_get("delivery_id")?,
        adjustment: adjustment(row)?,
    })
}

fn bucket(row: &PgRow, column: &'static str) -> sqlx::Result<Bucket> {
    Bucket::parse(row.try_get(column)?).ok_or_else(|| corrupt(column))
}

fn adjustment(row: &PgRow) -> sqlx::Result<Option<(Uuid, AdjustmentReason, String)>> {
    let Some(id) = row.try_get("adjustment_id")? else { return Ok(None) };
    Ok(Some((id, reason_from_sql(row.try_get("reason")?)?, row.try_get("note")?)))
}
