//! Reads and writes `revocations`, and until when an account's tokens are revoked.

use mesh_log::{Pool, Traced as _};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Tokens that end before they expire.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocation {
    pub id: i64,
    /// Of a session if true; else all that the account `thing` was given until `revoked`.
    pub of_session: bool,
    pub thing: Uuid,
    pub revoked: OffsetDateTime,
    pub expires: OffsetDateTime,
}

type Row = (i64, bool, Uuid, OffsetDateTime, OffsetDateTime);

/// Ends the access tokens of a session. They live for `life` seconds.
pub async fn revoke_session(
    tx: &mut PgConnection,
    sessions: &[Uuid],
    life: f64,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO revocations (kind, id, revoked_at, expires_at)
         SELECT 'SESSION', id, clock_timestamp(), clock_timestamp() + $2 * interval '1 second'
         FROM unnest($1::uuid[]) AS r(id)",
    )
    .bind(sessions)
    .bind(life)
    .execute(tx)
    .traced("INSERT revocations")
    .await?;
    Ok(())
}

/// Ends all access tokens that an account was given until now. They live for `life` seconds.
///
/// A token that was given since the last time begins in the second after that one
/// ([`sign`](crate::app)), which may still be to come: so this reaches a second beyond the last time.
pub async fn revoke_tokens(tx: &mut PgConnection, user: Uuid, life: f64) -> sqlx::Result<()> {
    sqlx::query(
        "WITH given AS (
           UPDATE users
           SET tokens_after = greatest(clock_timestamp(), tokens_after + interval '1 second')
           WHERE user_id = $1
           RETURNING user_id, tokens_after
         )
         INSERT INTO revocations (kind, id, revoked_at, expires_at)
         SELECT 'SUBJECT', user_id, tokens_after, tokens_after + $2 * interval '1 second'
         FROM given",
    )
    .bind(user)
    .bind(life)
    .execute(tx)
    .traced("INSERT revocations")
    .await?;
    Ok(())
}

/// Returns what verifiers have not been told, the oldest first.
pub async fn untold(db: &Pool) -> sqlx::Result<Vec<Revocation>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT revocation_id, kind = 'SESSION', id, revoked_at, expires_at
         FROM revocations WHERE NOT told ORDER BY revocation_id LIMIT 1000",
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Returns all that has an effect still: what a bucket that was made anew has to hold.
pub async fn live_revocations(db: &Pool) -> sqlx::Result<Vec<Revocation>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT revocation_id, kind = 'SESSION', id, revoked_at, expires_at
         FROM revocations WHERE expires_at > clock_timestamp() ORDER BY expires_at",
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Notes that verifiers were told.
pub async fn tell(db: &Pool, ids: &[i64]) -> sqlx::Result<()> {
    let told = "UPDATE revocations SET told = true WHERE revocation_id = ANY($1)";
    sqlx::query(told).bind(ids).execute(db).await?;
    Ok(())
}

fn read((id, of_session, thing, revoked, expires): Row) -> Revocation {
    Revocation { id, of_session, thing, revoked, expires }
}
