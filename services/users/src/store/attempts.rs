//! Reads and writes `attempts`.

use std::time::Duration;

use mesh_log::Pool;
use sqlx::Row as _;

/// Whether an attempt may be made.
pub enum Admission {
    Admitted,
    /// Not before so much time has passed.
    Wait(Duration),
}

/// Counts an attempt, before it is made: so guesses that come at the same time are counted, too. From
/// the `free`th on each doubles the time until the next, up to 15 minutes; after as long without one
/// all are forgotten. What is blocked is not counted.
///
/// Until then it is blocked since long ago, not since now: of two attempts at once the one that looked
/// at the clock first may be counted last.
pub async fn admit(db: &Pool, key: &[u8], free: i32) -> sqlx::Result<Admission> {
    let counted = sqlx::query(
        "WITH given AS (SELECT clock_timestamp() AS now)
         INSERT INTO attempts AS a (key, count, last_at, blocked_until)
         SELECT $1, 1, now, CASE WHEN $2 > 1 THEN 'epoch' ELSE now + interval '2 seconds' END
         FROM given
         ON CONFLICT (key) DO UPDATE SET
           count = CASE WHEN a.last_at < excluded.last_at - interval '15 minutes' THEN 1
                        ELSE a.count + 1 END,
           last_at = excluded.last_at,
           blocked_until = CASE
             WHEN a.last_at < excluded.last_at - interval '15 minutes' OR a.count + 1 < $2
               THEN 'epoch'
             ELSE excluded.last_at
                  + least(900, power(2, least(a.count + 2 - $2, 10))) * interval '1 second' END
         WHERE a.blocked_until <= excluded.last_at
         RETURNING count",
    );
    if counted.bind(key).bind(free).fetch_optional(db).await?.is_some() {
        return Ok(Admission::Admitted);
    }
    let waiting = sqlx::query(
        "SELECT greatest(1, extract(epoch FROM blocked_until - clock_timestamp()))::float8 AS wait
         FROM attempts WHERE key = $1",
    );
    let row = waiting.bind(key).fetch_optional(db).await?;
    let wait = row.map_or(Ok(1.0), |row| row.try_get::<f64, _>("wait"))?;
    Ok(Admission::Wait(Duration::from_secs_f64(wait.clamp(1.0, 900.0).ceil())))
}

/// Forgets the attempts under this key: one of them succeeded.
pub async fn settle(db: &Pool, key: &[u8]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM attempts WHERE key = $1").bind(key).execute(db).await?;
    Ok(())
}

/// Takes one attempt back that succeeded, and leaves the others counted.
pub async fn give_back(db: &Pool, key: &[u8], free: i32) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE attempts SET count = greatest(0, count - 1),
                blocked_until = CASE WHEN count - 1 < $2 THEN 'epoch' ELSE blocked_until END
         WHERE key = $1",
    )
    .bind(key)
    .bind(free)
    .execute(db)
    .await?;
    Ok(())
}
