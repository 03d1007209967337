//! Reads streams.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Meta;

/// A stream as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Version after its last event.
    pub version: i32,
    /// The fold of its events.
    pub state: Bytes,
    /// The replica that drives its saga.
    pub owner: Option<Uuid>,
    /// How long its saga has had work to do, by the database's clock; none if it has none.
    pub awake_for: Option<Duration>,
    /// How long ago it changed, by the database's clock.
    pub unchanged_for: Duration,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it changed last.
    pub updated_at: OffsetDateTime,
}

/// One event of a stream, as it was recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Version of the stream after the event.
    pub version: i32,
    /// The event's id.
    pub id: Uuid,
    /// Full name of the body's type.
    pub kind: String,
    /// True if the event is published.
    pub public: bool,
    /// The encoded message.
    pub body: Bytes,
    /// Where the event came from.
    pub meta: Meta,
    /// When it was recorded, by the database's clock.
    pub at: OffsetDateTime,
}

const COLUMNS: &str = "id, version, state, owner, created_at, updated_at, awake_since,
    extract(epoch FROM now() - awake_since)::float8 AS awake_for,
    extract(epoch FROM now() - updated_at)::float8 AS unchanged_for";

pub(super) async fn one(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<Stored>> {
    let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM streams WHERE id = $1"));
    let row = sqlx::query(sql).bind(id).fetch_optional(pool).await?;
    row.map(|row| stored(&row)).transpose()
}

pub(super) async fn locked(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Stored>> {
    let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM streams WHERE id = $1 FOR UPDATE"));
    let row = sqlx::query(sql).bind(id).fetch_optional(tx).await?;
    row.map(|row| stored(&row)).transpose()
}

pub(super) async fn awake(pool: &PgPool, owner: Uuid) -> sqlx::Result<Vec<(Uuid, Stored)>> {
    // A change that was on its way while its replica was taken over names an owner that is gone:
    // no takeover will ever find that stream again.
    let sql = AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM streams
         WHERE awake_since IS NOT NULL
           AND (owner = $1 OR NOT EXISTS (SELECT FROM replicas r WHERE r.id = streams.owner))
         ORDER BY awake_since"
    ));
    let rows = sqlx::query(sql).bind(owner).fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, stored(row)?))).collect()
}

pub(super) async fn list_awake(
    pool: &PgPool,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<(Uuid, OffsetDateTime, Stored)>> {
    let (time, id) = after.unwrap_or((OffsetDateTime::UNIX_EPOCH, Uuid::nil()));
    let sql = AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM streams
         WHERE awake_since IS NOT NULL AND (awake_since, id) > ($1, $2)
         ORDER BY awake_since, id LIMIT $3"
    ));
    let rows = sqlx::query(sql).bind(time).bind(id).bind(limit).fetch_all(pool).await?;
    let listed = |row: &PgRow| Ok((row.try_get("id")?, row.try_get("awake_since")?, stored(row)?));
    rows.iter().map(listed).collect()
}

pub(super) async fn events(pool: &PgPool, id: Uuid, after: i32) -> sqlx::Result<Vec<Recorded>> {
    type Columns = (i32, Uuid, String, bool, Vec<u8>, Vec<u8>, OffsetDateTime);
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT version, id, type, public, body, meta, at FROM log
         WHERE key = $1 AND version > $2 ORDER BY version",
    )
    .bind(id)
    .bind(after)
    .fetch_all(pool)
    .await?;
    let recorded = |(version, id, kind, public, body, meta, at): Columns| {
        let meta = Meta::decode(meta.as_slice()).unwrap_or_default();
        Recorded { version, id, kind, public, body: body.into(), meta, at }
    };
    Ok(rows.into_iter().map(recorded).collect())
}

fn stored(row: &PgRow) -> sqlx::Result<Stored> {
    let age = |seconds: f64| Duration::from_secs_f64(seconds.max(0.0));
    Ok(Stored {
        version: row.try_get("version")?,
        state: row.try_get::<Option<Vec<u8>>, _>("state")?.unwrap_or_default().into(),
        owner: row.try_get("owner")?,
        awake_for: row.try_get::<Option<f64>, _>("awake_for")?.map(age),
        unchanged_for: age(row.try_get("unchanged_for")?),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
