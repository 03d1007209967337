//! The rows of dead letters, in the service's own database.

use std::collections::HashSet;

use futures::FutureExt as _;
use mesh_log::Database;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::envelope::{self, Envelope};

/// Why an event is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its headers or body cannot be read.
    Undecodable,
    /// It failed as often as the consumer tries.
    Failed,
    /// It is older than the inbox remembers.
    Expired,
    /// An earlier event with its key is a dead letter.
    Behind,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Undecodable, Self::Failed, Self::Expired, Self::Behind];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Behind => "behind",
        }
    }

    fn from_sql(text: &str) -> sqlx::Result<Self> {
        let found = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| sqlx::Error::Decode(format!("dead letter reason {text:?}").into()))
    }
}

/// What is written about an event that becomes a dead letter.
pub(crate) struct Letter<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) reason: Reason,
    pub(crate) error: String,
    pub(crate) attempts: u32,
}

/// A dead letter as it was kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) position: i64,
    pub(super) event_id: Uuid,
    pub(super) envelope: Envelope,
    pub(super) key: String,
    pub(super) reason: Reason,
    pub(super) error: String,
    pub(super) attempts: i32,
    pub(super) at: OffsetDateTime,
}

/// Makes the event a dead letter. False if it took effect, or was a dead letter, before.
pub(crate) async fn bury(db: &Database, letter: &Letter<'_>) -> sqlx::Result<bool> {
    let row = OwnedLetter::new(letter);
    mesh_log::transact(db, "dead_letter", move |tx| async move { row.insert(tx).await }.boxed())
        .await
}

/// Puts the event behind the dead letters of its key. False if there are none any more.
pub(crate) async fn put_behind(db: &Database, envelope: &Envelope) -> sqlx::Result<bool> {
    let error = "an earlier event with this key is a dead letter".to_owned();
    let row = OwnedLetter::new(&Letter { envelope, reason: Reason::Behind, error, attempts: 0 });
    mesh_log::transact(db, "dead_letter_behind", move |tx| {
        async move {
            let blocked = lock_last(&mut *tx, &row.consumer, &row.key).await?;
            if blocked {
                row.insert(tx).await?;
            }
            Ok(blocked)
        }
        .boxed()
    })
    .await
}

/// Locks the last dead letter of a key, so that it cannot be redriven until the caller has put
/// another one behind it. False if there is none.
async fn lock_last(tx: &mut PgConnection, consumer: &str, key: &str) -> sqlx::Result<bool> {
    loop {
        let locked: Option<i64> = sqlx::query_scalar(
            "SELECT position FROM dead_letters WHERE consumer = $1 AND key = $2
             ORDER BY position DESC LIMIT 1 FOR UPDATE",
        )
        .bind(consumer)
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
        if locked.is_some() {
            return Ok(true);
        }
        // The last one may have gone while it was waited for, and left earlier ones.
        let any: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM dead_letters WHERE consumer = $1 AND key = $2)",
        )
        .bind(consumer)
        .bind(key)
        .fetch_one(&mut *tx)
        .await?;
        if !any {
            return Ok(false);
        }
    }
}

/// The keys of a stream that have dead letters.
pub(crate) async fn keys(db: &Database, consumer: &str) -> sqlx::Result<HashSet<String>> {
    let keys: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT key FROM dead_letters WHERE consumer = $1 AND key <> ''",
    )
    .bind(consumer)
    .fetch_all(db.pool())
    .await?;
    Ok(keys.into_iter().collect())
}

/// How many dead letters a stream has.
pub(crate) async fn count(db: &Database, consumer: &str) -> sqlx::Result<u64> {
    remaining(db, consumer, None).await.map(i64::unsigned_abs)
}

/// How many dead letters a stream has, of all keys or of one.
pub(super) async fn remaining(
    db: &Database,
    consumer: &str,
    key: Option<&str>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM dead_letters
         WHERE consumer = $1 AND ($2::text IS NULL OR key = $2)",
    )
    .bind(consumer)
    .bind(key)
    .fetch_one(db.pool())
    .await
}

/// Dead letters after `position`, of all streams.
pub(super) async fn page(db: &Database, position: i64, limit: i64) -> sqlx::Result<Vec<Kept>> {
    sqlx::query("SELECT * FROM dead_letters WHERE position > $1 ORDER BY position LIMIT $2")
        .bind(position)
        .bind(limit)
        .fetch_all(db.pool())
        .await?
        .iter()
        .map(kept)
        .collect()
}

/// The next dead letter of a stream after `position`, of all keys or of one.
pub(super) async fn next(
    db: &Database,
    consumer: &str,
    key: Option<&str>,
    position: i64,
) -> sqlx::Result<Option<Kept>> {
    let row = sqlx::query(
        "SELECT * FROM dead_letters
         WHERE consumer = $1 AND ($2::text IS NULL OR key = $2) AND position > $3
         ORDER BY position LIMIT 1",
    )
    .bind(consumer)
    .bind(key)
    .bind(position)
    .fetch_optional(db.pool())
    .await?;
    row.as_ref().map(kept).transpose()
}

/// One dead letter.
pub(super) async fn get(
    db: &Database,
    consumer: &str,
    event_id: Uuid,
) -> sqlx::Result<Option<Kept>> {
    let row = sqlx::query("SELECT * FROM dead_letters WHERE consumer = $1 AND event_id = $2")
        .bind(consumer)
        .bind(event_id)
        .fetch_optional(db.pool())
        .await?;
    row.as_ref().map(kept).transpose()
}

/// Says that a dead letter failed once more.
pub(super) async fn failed_again(db: &Database, position: i64, error: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE dead_letters SET attempts = attempts + 1, error = $2 WHERE position = $1")
        .bind(position)
        .bind(error)
        .execute(db.pool())
        .await?;
    Ok(())
}

struct OwnedLetter {
    consumer: String,
    sequence: i64,
    event_id: Uuid,
    subject: String,
    key: String,
    reason: Reason,
    error: String,
    attempts: i32,
    headers: String,
    body: bytes::Bytes,
}

impl OwnedLetter {
    fn new(letter: &Letter<'_>) -> Self {
        let envelope = letter.envelope;
        // PostgreSQL's texts hold no NUL, and what has one must be set aside all the same.
        let text = |sent: &str| sent.replace('\0', " ");
        Self {
            consumer: envelope.stream.clone(),
            sequence: i64::try_from(envelope.sequence).unwrap_or(i64::MAX),
            event_id: envelope.id(),
            subject: text(&envelope.subject),
            key: text(envelope.key()),
            reason: letter.reason,
            error: text(&letter.error),
            attempts: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
            headers: text(&envelope::headers_to_text(&envelope.headers)),
            body: envelope.body.clone(),
        }
    }

    /// Claims the event as dead and keeps it. False if it was claimed before.
    async fn insert(self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        let claimed = sqlx::query(
            "INSERT INTO inbox (consumer, event_id, dead) VALUES ($1, $2, true)
             ON CONFLICT DO NOTHING",
        )
        .bind(&self.consumer)
        .bind(self.event_id)
        .execute(&mut *tx)
        .await?;
        if claimed.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO dead_letters (consumer, sequence, event_id, subject, key, reason, error,
                                       attempts, headers, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.consumer)
        .bind(self.sequence)
        .bind(self.event_id)
        .bind(self.subject)
        .bind(self.key)
        .bind(self.reason.as_str())
        .bind(self.error)
        .bind(self.attempts)
        .bind(self.headers.into_bytes())
        .bind(self.body.as_ref())
        .execute(tx)
        .await?;
        Ok(true)
    }
}

fn kept(row: &PgRow) -> sqlx::Result<Kept> {
    let headers: Vec<u8> = row.try_get("headers")?;
    let sequence: i64 = row.try_get("sequence")?;
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Kept {
        position: row.try_get("position")?,
        event_id: row.try_get("event_id")?,
        envelope: Envelope {
            stream: row.try_get("consumer")?,
            sequence: sequence.unsigned_abs(),
            subject: row.try_get("subject")?,
            headers: envelope::headers_from_text(&String::from_utf8_lossy(&headers)),
            body: body.into(),
        },
        key: row.try_get("key")?,
        reason: Reason::from_sql(row.try_get("reason")?)?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        at: row.try_get("at")?,
    })
}
