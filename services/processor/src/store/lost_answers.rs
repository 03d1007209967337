//! Requests that the sandbox pretended to lose.

use std::collections::HashSet;

use mesh_log::Traced as _;
use sqlx::PgConnection;
use uuid::Uuid;

/// Marks requests as lost; returns those that were not marked before.
pub async fn mark(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let new: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO lost_answers (key)
         SELECT DISTINCT key FROM unnest($1::uuid[]) AS key ORDER BY key
         ON CONFLICT DO NOTHING
         RETURNING key",
    )
    .bind(keys)
    .fetch_all(tx)
    .traced("INSERT lost_answers")
    .await?;
    Ok(new.into_iter().collect())
}
