//! Reads streams.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use prost::Message as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Meta, Pool, gather::Work, returned, statement};

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
#[derive(Clone, Debug, PartialEq)]
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

/// Reads streams by their ids.
#[derive(Debug)]
pub(super) struct Load;

impl Work for Load {
    type Command = Uuid;
    type Outcome = Option<Stored>;

    const ONE_STATEMENT: bool = true;
    const SUMMARY: &'static str = "SELECT streams";
    const WRITES: bool = false;

    fn label(_: &Uuid) -> &'static str {
        "load"
    }

    fn apply<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        ids: &'c [Uuid],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Option<Stored>>>> {
        async move {
            let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM streams WHERE id = ANY($1)"));
            let rows = sqlx::query(sql).bind(ids).fetch_all(connection).await?;
            returned(rows.len());
            let found: HashMap<Uuid, Stored> = rows
                .iter()
                .map(|row| Ok((row.try_get("id")?, stored(row)?)))
                .collect::<Result<_, sqlx::Error>>()?;
            Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
        }
        .boxed()
    }
}

/// Reads the events of streams after a version each.
#[derive(Debug)]
pub(super) struct LoadEvents;

impl Work for LoadEvents {
    type Command = (Uuid, i32);
    type Outcome = Vec<Recorded>;

    const ONE_STATEMENT: bool = true;
    const SUMMARY: &'static str = "SELECT log";
    const WRITES: bool = false;

    fn label(_: &(Uuid, i32)) -> &'static str {
        "load_events"
    }

    fn apply<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        wanted: &'c [(Uuid, i32)],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Vec<Recorded>>>> {
        async move {
            let (ids, after): (Vec<_>, Vec<_>) = wanted.iter().copied().unzip();
            let rows = sqlx::query(
                "SELECT w.n, l.version, l.id, l.type, l.public, l.body, l.meta, l.at
                 FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS w(key, after, n)
                      JOIN log l ON l.key = w.key AND l.version > w.after
                 ORDER BY w.n, l.version",
            )
            .bind(ids)
            .bind(after)
            .fetch_all(connection)
            .await?;
            returned(rows.len());
            let mut found = vec![Vec::new(); wanted.len()];
            for row in &rows {
                let n: i64 = row.try_get("n")?;
                let place = usize::try_from(n - 1).ok().and_then(|n| found.get_mut(n));
                place.ok_or(sqlx::Error::RowNotFound)?.push(recorded(row)?);
            }
            Ok(found)
        }
        .boxed()
    }
}

pub(super) async fn locked(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Stored>> {
    let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM streams WHERE id = $1 FOR UPDATE"));
    let query = sqlx::query(sql).bind(id);
    let row = statement("SELECT streams", query.fetch_optional(tx)).await?;
    row.map(|row| stored(&row)).transpose()
}

pub(super) async fn awake(pool: &Pool, owner: Uuid) -> sqlx::Result<Vec<(Uuid, Stored)>> {
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
    pool: &Pool,
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

fn recorded(row: &PgRow) -> sqlx::Result<Recorded> {
    Ok(Recorded {
        version: row.try_get("version")?,
        id: row.try_get("id")?,
        kind: row.try_get("type")?,
        public: row.try_get("public")?,
        body: row.try_get::<Vec<u8>, _>("body")?.into(),
        meta: Meta::decode(row.try_get::<&[u8], _>("meta")?).unwrap_or_default(),
        at: row.try_get("at")?,
    })
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
