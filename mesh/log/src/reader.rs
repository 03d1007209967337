//! Reads the log in order while others write it.
//!
//! `seq` is drawn before its transaction commits, so rows become visible out of order and rolled
//! back transactions leave holes. Whoever could still fill a hole has inserted into the log, and so
//! holds a lock on the table until its transaction ends; and it has drawn its number, and taken that
//! lock, before a later number became visible. So the reader looks at a hole who holds such a lock:
//! once all of them have ended, the hole stays empty. Snapshots alone cannot tell: their upper bound
//! is the successor of the last transaction that *ended*, and one that runs may be above it.

use bytes::Bytes;
use prost::Message as _;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Database, Meta, limits, statement};

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

/// Reads the log from a position on: every committed row once, in order. Keeps a connection of its
/// own.
#[derive(Debug)]
pub struct Reader {
    db: Database,
    connection: Option<PgConnection>,
    position: i64,
    hole: Option<Hole>,
}

/// A gap behind `after`, and who could still fill it when it was first seen: virtual transaction ids,
/// none of which is given out twice while its session lives.
#[derive(Debug)]
struct Hole {
    after: i64,
    writers: Vec<String>,
}

type Row = (i64, Uuid, i32, Uuid, String, bool, Vec<u8>, Vec<u8>, OffsetDateTime);

impl Reader {
    /// A reader of what comes after `position`; 0 reads from the beginning.
    pub fn new(db: &Database, position: i64) -> Self {
        Self { db: db.clone(), connection: None, position, hole: None }
    }

    /// Position of the last row that was returned.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Returns the next rows, at most `limit`; none if there is nothing new that is certain yet.
    /// Costs one round trip, and another when it comes to a hole and when it passes one.
    ///
    /// A connection that keeps silent for longer than any statement may take is given up: the next
    /// call reads the same rows on another.
    pub async fn next(&mut self, limit: i64) -> sqlx::Result<Vec<LogRow>> {
        self.connection().await?;
        // After an error it is not known to be usable.
        let mut connection = self.connection.take().ok_or(sqlx::Error::PoolClosed)?;
        // Before the rows are read: what these writers have committed is then among them.
        let is_dead = match &self.hole {
            Some(hole) if hole.after == self.position => {
                writers(&mut connection, Some(&hole.writers)).await?.is_empty()
            }
            _ => false,
        };
        let rows = fetch(&mut connection, self.position, limit).await?;
        let begin = self.position;
        let mut certain = Vec::with_capacity(rows.len());
        for row in rows {
            let may_pass = row.0 == self.position + 1 || (is_dead && self.position == begin);
            if !may_pass {
                if self.hole.as_ref().is_none_or(|hole| hole.after != self.position) {
                    let writers = writers(&mut connection, None).await?;
                    self.hole = Some(Hole { after: self.position, writers });
                }
                break;
            }
            self.position = row.0;
            certain.push(log_row(row));
        }
        self.connection = Some(connection);
        Ok(certain)
    }

    /// The reader's connection, between two reads. Whoever leaves it in a transaction drops the reader.
    pub(crate) async fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.db.dedicated().await?,
        };
        Ok(self.connection.insert(connection))
    }
}

/// The transactions that hold the lock which an insert into the log takes; of `among`, if given.
async fn writers(
    connection: &mut PgConnection,
    among: Option<&Vec<String>>,
) -> sqlx::Result<Vec<String>> {
    let query = sqlx::query_scalar(
        "SELECT virtualtransaction FROM pg_locks
         WHERE locktype = 'relation' AND relation = 'log'::regclass
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND mode = 'RowExclusiveLock' AND ($1::text[] IS NULL OR virtualtransaction = ANY($1))",
    )
    .bind(among);
    statement("SELECT pg_locks", limits::within(query.fetch_all(connection))).await
}

/// The rows after `position`, in order.
async fn fetch(connection: &mut PgConnection, position: i64, limit: i64) -> sqlx::Result<Vec<Row>> {
    let query = sqlx::query_as(
        "SELECT seq, key, version, id, type, public, body, meta, at
         FROM log WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(position)
    .bind(limit);
    statement("SELECT log", limits::within(query.fetch_all(connection))).await
}

fn log_row((seq, key, version, id, kind, public, body, meta, at): Row) -> LogRow {
    let meta = Meta::decode(meta.as_slice()).unwrap_or_default();
    LogRow { seq, key, version, id, kind, public, body: body.into(), meta, at }
}
