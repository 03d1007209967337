//! Reads `roles` and `permissions`, and writes `role_grants`.

use std::collections::BTreeSet;

use mesh_log::{Pool, Traced as _};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// What an access token says that a person may do.
#[derive(Debug, Default, PartialEq)]
pub struct Granted {
    /// Tokens of until then are revoked.
    pub after: Option<OffsetDateTime>,
    pub roles: BTreeSet<String>,
    pub permissions: BTreeSet<String>,
}

/// Returns all roles with what they are for, by their names.
pub async fn roles(db: &Pool) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT role, description FROM roles ORDER BY role").fetch_all(db).await
}

/// Returns all permissions with what they allow, by their names.
pub async fn permissions(db: &Pool) -> sqlx::Result<Vec<(String, String)>> {
    let all = "SELECT permission, description FROM permissions ORDER BY permission";
    sqlx::query_as(all).fetch_all(db).await
}

/// Returns which roles permit what, in the order of their names.
pub async fn role_permissions(db: &Pool) -> sqlx::Result<Vec<(String, String)>> {
    let all = "SELECT role, permission FROM role_permissions ORDER BY role, permission";
    sqlx::query_as(all).fetch_all(db).await
}

/// Whether there is a role of this name.
pub async fn has_role(tx: &mut PgConnection, role: &str) -> sqlx::Result<bool> {
    let found = sqlx::query("SELECT FROM roles WHERE role = $1").bind(role);
    Ok(found.fetch_optional(tx).traced("SELECT roles").await?.is_some())
}

/// Gives a role to a person. Returns whether that is news.
pub async fn grant(tx: &mut PgConnection, user: Uuid, role: &str) -> sqlx::Result<bool> {
    let grant = "INSERT INTO role_grants (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let done = sqlx::query(grant).bind(user).bind(role).execute(tx);
    Ok(done.traced("INSERT role_grants").await?.rows_affected() == 1)
}

/// Takes a role from a person. Returns whether that is news.
pub async fn revoke(tx: &mut PgConnection, user: Uuid, role: &str) -> sqlx::Result<bool> {
    let revoke = "DELETE FROM role_grants WHERE user_id = $1 AND role = $2";
    let done = sqlx::query(revoke).bind(user).bind(role).execute(tx);
    Ok(done.traced("DELETE role_grants").await?.rows_affected() == 1)
}

/// Returns the names of a person's roles, in their order.
pub async fn granted(db: &Pool, user: Uuid) -> sqlx::Result<Vec<String>> {
    let all = "SELECT role FROM role_grants WHERE user_id = $1 ORDER BY role";
    sqlx::query_scalar(all).bind(user).fetch_all(db).await
}

/// Returns the roles of a person, and what these permit.
pub async fn permitted(db: &Pool, user: Uuid) -> sqlx::Result<Granted> {
    type Row = (Option<OffsetDateTime>, Option<String>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT tokens_after, role, permission
         FROM users LEFT JOIN role_grants USING (user_id) LEFT JOIN role_permissions USING (role)
         WHERE user_id = $1",
    )
    .bind(user)
    .fetch_all(db)
    .await?;
    let mut granted = Granted::default();
    for (after, role, permission) in rows {
        granted.after = after;
        granted.roles.extend(role);
        granted.permissions.extend(permission);
    }
    Ok(granted)
}
