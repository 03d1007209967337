//! Reads the log in order while others write it.
//!
//! `seq` is drawn before its transaction commits, so rows become visible out of order and rolled
//! back transactions leave holes. A transaction that could still fill a hole had its id before it
//! drew the number, and so before any snapshot that shows a later number: once every transaction
//! that ran when the hole was first seen has ended, the hole stays empty.

use bytes::Bytes;
use prost::Message as _;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Meta;

/// One row of the log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// Position in the log: grows, with holes.
    pub seq: i64,
    /// What the event is about.
    pub key: Uuid,
    /// Version of the key after the event.
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
    /// When its transaction began, by the database's clock.
    pub at: OffsetDateTime,
}

/// Reads the log from a position on: every committed row once, in order.
#[derive(Debug)]
pub struct Reader {
    pool: PgPool,
    position: i64,
    hole: Option<Hole>,
}

/// A gap behind `after`, first seen when `horizon` was the next transaction id to be given out.
#[derive(Debug)]
struct Hole {
    after: i64,
    horizon: i64,
}

type Row = (i64, Uuid, i32, Uuid, String, bool, Vec<u8>, Vec<u8>, OffsetDateTime);

impl Reader {
    /// A reader of what comes after `position`; 0 reads from the beginning.
    pub fn new(pool: PgPool, position: i64) -> Self {
        Self { pool, position, hole: None }
    }

    /// Position of the last row that was returned.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Returns the next rows, at most `limit`; none if there is nothing new that is certain yet.
    /// Costs one round trip.
    pub async fn next(&mut self, limit: i64) -> sqlx::Result<Vec<LogRow>> {
        let (xmin, xmax, rows) = self.fetch(limit).await?;
        let mut certain = Vec::with_capacity(rows.len());
        for row in rows {
            if row.0 != self.position + 1 && !self.hole_is_dead(xmin, xmax) {
                break;
            }
            self.position = row.0;
            certain.push(log_row(row));
        }
        Ok(certain)
    }

    /// True if the gap behind the current position can never be filled.
    fn hole_is_dead(&mut self, xmin: i64, xmax: i64) -> bool {
        match &self.hole {
            Some(hole) if hole.after == self.position => {
                let dead = xmin >= hole.horizon;
                if dead {
                    self.hole = None;
                }
                dead
            }
            _ => {
                self.hole = Some(Hole { after: self.position, horizon: xmax });
                // Nobody else may run at all: then the horizon is reached already.
                xmin >= xmax
            }
        }
    }

    async fn fetch(&self, limit: i64) -> sqlx::Result<(i64, i64, Vec<Row>)> {
        use sqlx::Row as _;
        // One statement, so rows and snapshot belong together.
        let rows = sqlx::query(
            "WITH now AS MATERIALIZED (SELECT pg_current_snapshot() AS s)
             SELECT pg_snapshot_xmin(now.s)::text::bigint, pg_snapshot_xmax(now.s)::text::bigint,
                    l.seq, l.key, l.version, l.id, l.type, l.public, l.body, l.meta, l.at
             FROM now LEFT JOIN LATERAL
                  (SELECT * FROM log WHERE seq > $1 ORDER BY seq LIMIT $2) l ON true
             ORDER BY l.seq",
        )
        .bind(self.position)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let (xmin, xmax) = (first.try_get(0)?, first.try_get(1)?);
        let mut found = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| !matches!(row.try_get::<Option<i64>, _>(2), Ok(None))) {
            found.push((
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
                row.try_get(5)?,
                row.try_get(6)?,
                row.try_get(7)?,
                row.try_get(8)?,
                row.try_get(9)?,
                row.try_get(10)?,
            ));
        }
        Ok((xmin, xmax, found))
    }
}

fn log_row((seq, key, version, id, kind, public, body, meta, at): Row) -> LogRow {
    let meta = Meta::decode(meta.as_slice()).unwrap_or_default();
    LogRow { seq, key, version, id, kind, public, body: body.into(), meta, at }
}
