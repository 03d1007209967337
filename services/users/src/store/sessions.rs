//! Reads and writes `sessions`.

use mesh_log::{Pool, Traced as _};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::unreadable;
use crate::domain::Session;

/// Saves a session that begins.
pub async fn insert_session(
    tx: &mut PgConnection,
    session: &Session,
    digest: [u8; 16],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO sessions (session_id, user_id, device, digest, created_at, refreshed_at)
         VALUES ($1, $2, $3, $4, $5, $5)",
    )
    .bind(session.id)
    .bind(session.user)
    .bind(&session.device)
    .bind(digest)
    .bind(session.created)
    .execute(tx)
    .traced("INSERT sessions")
    .await?;
    Ok(())
}

/// Returns the session with this id, and the digest of the request that began it.
pub async fn session(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<(Session, Vec<u8>)>> {
    let row = sqlx::query(
        "SELECT session_id, user_id, device, generation, created_at, refreshed_at, ended_at, digest
         FROM sessions WHERE session_id = $1",
    )
    .bind(id)
    .fetch_optional(tx)
    .traced("SELECT sessions")
    .await?;
    row.map(|row| Ok((read(&row)?, row.try_get("digest")?))).transpose()
}

/// Locks the session with this id. Whoever also locks its account does that first.
pub async fn lock_session(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Session>> {
    let row = sqlx::query(
        "SELECT session_id, user_id, device, generation, created_at, refreshed_at, ended_at
         FROM sessions WHERE session_id = $1 FOR NO KEY UPDATE",
    )
    .bind(id)
    .fetch_optional(tx)
    .traced("SELECT sessions")
    .await?;
    row.as_ref().map(read).transpose()
}

/// Writes a session that was refreshed.
pub async fn save_refresh(tx: &mut PgConnection, session: &Session) -> sqlx::Result<()> {
    sqlx::query("UPDATE sessions SET generation = $2, refreshed_at = $3 WHERE session_id = $1")
        .bind(session.id)
        .bind(i64::from(session.generation))
        .bind(session.refreshed)
        .execute(tx)
        .traced("UPDATE sessions")
        .await?;
    Ok(())
}

/// Ends the sessions of an account that have not ended: only `only`, if that is given, and not
/// `but`. Returns their ids.
pub async fn end_sessions(
    tx: &mut PgConnection,
    user: Uuid,
    only: Option<Uuid>,
    but: Option<Uuid>,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "UPDATE sessions SET ended_at = clock_timestamp()
         WHERE user_id = $1 AND ended_at IS NULL
           AND ($2::uuid IS NULL OR session_id = $2) AND ($3::uuid IS NULL OR session_id <> $3)
         RETURNING session_id",
    )
    .bind(user)
    .bind(only)
    .bind(but)
    .fetch_all(tx)
    .traced("UPDATE sessions")
    .await
}

/// Returns at most `limit` sessions of an account that have not ended, in the order of their ids,
/// beginning behind `after`.
pub async fn list_sessions(
    db: &Pool,
    user: Uuid,
    after: Option<Uuid>,
    limit: usize,
) -> sqlx::Result<Vec<Session>> {
    let found = sqlx::query(
        "SELECT session_id, user_id, device, generation, created_at, refreshed_at, ended_at
         FROM sessions
         WHERE user_id = $1 AND ended_at IS NULL AND session_id > $2
           AND refreshed_at > clock_timestamp() - interval '30 days'
         ORDER BY session_id LIMIT $3",
    )
    .bind(user)
    .bind(after.unwrap_or_default())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await?;
    found.iter().map(read).collect()
}

/// Removes what has had no effect for long: expired sessions, mails and revocations, and attempts that
/// nobody counts.
pub async fn sweep(db: &Pool, now: OffsetDateTime) -> sqlx::Result<()> {
    for statement in [
        "DELETE FROM sessions WHERE refreshed_at < $1::timestamptz - interval '31 days'",
        "DELETE FROM mails WHERE expires_at < $1::timestamptz - interval '31 days'",
        "DELETE FROM revocations WHERE expires_at < $1::timestamptz - interval '1 hour'",
        "DELETE FROM attempts WHERE last_at < $1::timestamptz - interval '1 day'",
    ] {
        sqlx::query(statement).bind(now).execute(db).await?;
    }
    Ok(())
}

fn read(row: &PgRow) -> sqlx::Result<Session> {
    let generation = u32::try_from(row.try_get::<i64, _>("generation")?);
    Ok(Session {
        id: row.try_get("session_id")?,
        user: row.try_get("user_id")?,
        device: row.try_get("device")?,
        generation: generation.map_err(|_| unreadable("a generation"))?,
        created: row.try_get("created_at")?,
        refreshed: row.try_get("refreshed_at")?,
        ended: row.try_get::<Option<OffsetDateTime>, _>("ended_at")?.is_some(),
    })
}
