//! How far a view has come.

use sqlx::PgConnection;

use crate::Pool;

/// Where the view goes on; a new one begins at 0.
pub(super) async fn find(pool: &Pool, name: &str) -> sqlx::Result<i64> {
    sqlx::query("INSERT INTO projections (name) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(name)
        .execute(pool)
        .await?;
    sqlx::query_scalar("SELECT position FROM projections WHERE name = $1")
        .bind(name)
        .fetch_one(pool)
        .await
}

/// Moves the checkpoint; false if it is not where it was left, so that somebody else is at work or
/// the view is built anew.
pub(super) async fn advance(
    tx: &mut PgConnection,
    name: &str,
    from: i64,
    to: i64,
) -> sqlx::Result<bool> {
    let moved = sqlx::query(
        "UPDATE projections SET position = $3, at = now() WHERE name = $1 AND position = $2",
    )
    .bind(name)
    .bind(from)
    .bind(to)
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}
