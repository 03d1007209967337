//! Where the relay goes on: the stream itself says so.

use std::time::Duration;

use async_nats::jetstream::stream::{Info, LastRawMessageErrorKind, Stream};
use mesh_log::Database;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Trouble;
use crate::{Nats, envelope};

/// How many messages that are no events are skipped at the stream's end.
const FOREIGN_LIMIT: u64 = 1000;

/// The end of a stream, and the row of the log that it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Position in the log of the last row that the stream holds, or needs no more.
    pub(super) position: i64,
    /// The stream's last sequence.
    pub(super) sequence: u64,
    /// When the stream was created: another time is another stream.
    pub(super) created: OffsetDateTime,
    /// How long the stream remembers message ids.
    pub(super) window: Duration,
}

/// How much older a row may be than one before it: more than any transaction takes.
const YOUNG_MARGIN: Duration = Duration::from_secs(60 * 60);

/// Reads the cursor from the stream's last message; for an empty stream, decides by the note.
pub(super) async fn find(nats: &Nats, db: &Database, name: &str) -> Result<Cursor, Trouble> {
    let stream = nats.jetstream().get_stream(name).await.map_err(Trouble::broker)?;
    // Before the last message: one that is stored in between must not be taken for missing.
    let info = stream.get_info().await.map_err(Trouble::broker)?;
    let last = last_event(&stream, &info).await?;
    let (position, sequence) = match last {
        Some((position, sequence)) => (position, sequence.max(info.state.last_sequence)),
        None => (after_nothing(db, &info).await?, info.state.last_sequence),
    };
    let head = head(db).await?;
    if position > head {
        return Err(Trouble::AheadOfLog { position, head });
    }
    let window = info.config.duplicate_window;
    Ok(Cursor { position, sequence, created: info.created, window })
}

/// Log position and sequence of the last event that the stream holds.
async fn last_event(stream: &Stream, info: &Info) -> Result<Option<(i64, u64)>, Trouble> {
    let mut last = None;
    for subject in &info.config.subjects {
        let found = stream.get_last_raw_message_by_subject(subject).await;
        if let Some(message) = found_or_none(found)? {
            last = last.max(Some((message.sequence, envelope::log_position(&message.headers))));
        }
    }
    let Some((newest, mut position)) = last else { return Ok(None) };
    // Somebody may have published by hand: such a message has no place in the log.
    let mut sequence = newest;
    while position.is_none()
        && sequence > info.state.first_sequence.max(newest.saturating_sub(FOREIGN_LIMIT))
    {
        sequence -= 1;
        position = found_or_none(stream.get_raw_message(sequence).await)?
            .and_then(|message| envelope::log_position(&message.headers));
    }
    Ok(position.map(|position| (position, newest)))
}

fn found_or_none<T>(
    found: Result<T, async_nats::jetstream::stream::LastRawMessageError>,
) -> Result<Option<T>, Trouble> {
    match found {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Trouble::broker(error)),
    }
}

/// Where to go on after a stream without an event: its messages have expired, or were lost.
async fn after_nothing(db: &Database, info: &Info) -> Result<i64, Trouble> {
    let name = &info.config.name;
    let note = read_note(db, name).await?;
    if let Some(note) = &note
        && note.created == created_text(info.created)
        && info.state.last_sequence >= note.sequence
    {
        return Ok(note.position);
    }
    let noted = note.map_or(0, |note| note.position);
    if noted == 0 {
        return Ok(0);
    }
    let position = before_young(db, info.config.max_age).await?.map_or(noted, |it| it.min(noted));
    tracing::warn!(stream = name, position, noted, "stream lost its events: filled again");
    Ok(position)
}

/// A position before every row that is younger than the limit; none if the log is empty.
///
/// Rows are older the lower their position, but for as long as a transaction may take: so the log
/// is halved again and again, however long it is, and what is found is put back by a margin.
async fn before_young(db: &Database, limit: Duration) -> sqlx::Result<Option<i64>> {
    let limit = if limit.is_zero() { None } else { Some((limit + YOUNG_MARGIN).as_secs_f64()) };
    sqlx::query_scalar(
        "WITH RECURSIVE search(low, high) AS (
             SELECT min(seq), max(seq) + 1 FROM log
             UNION ALL
             SELECT CASE WHEN r.young THEN s.low ELSE r.seq + 1 END,
                    CASE WHEN r.young THEN r.middle ELSE s.high END
             FROM search s, LATERAL (
                 SELECT m.middle, l.seq,
                        $1::float8 IS NULL OR l.at > now() - make_interval(secs => $1) AS young
                 FROM (SELECT (s.low + s.high) / 2 AS middle) m, LATERAL (
                     SELECT seq, at FROM log WHERE seq >= m.middle ORDER BY seq LIMIT 1) l
             ) r
             WHERE s.low < s.high
         )
         SELECT max(low) - 1 FROM search",
    )
    .bind(limit)
    .fetch_one(db.pool())
    .await
}

struct Note {
    created: String,
    sequence: u64,
    position: i64,
}

async fn read_note(db: &Database, stream: &str) -> sqlx::Result<Option<Note>> {
    let row: Option<(String, i64, i64)> = sqlx::query_as(
        "SELECT created, stream_sequence, log_position FROM relay_notes WHERE stream = $1",
    )
    .bind(stream)
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|(created, sequence, position)| Note {
        created,
        sequence: sequence.unsigned_abs(),
        position,
    }))
}

/// How far the stream had come by its last note; 0 if there is none.
pub(super) async fn noted(db: &Database, stream: &str) -> sqlx::Result<i64> {
    Ok(read_note(db, stream).await?.map_or(0, |note| note.position))
}

/// Notes how far the stream has come, for the day on which it is empty.
pub(super) async fn write_note(db: &Database, stream: &str, cursor: &Cursor) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO relay_notes (stream, created, stream_sequence, log_position)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (stream) DO UPDATE SET created = excluded.created,
             stream_sequence = excluded.stream_sequence,
             log_position = excluded.log_position, at = now()",
    )
    .bind(stream)
    .bind(created_text(cursor.created))
    .bind(i64::try_from(cursor.sequence).expect("a stream has fewer than 2^63 messages"))
    .bind(cursor.position)
    .execute(db.pool())
    .await?;
    Ok(())
}

fn created_text(created: OffsetDateTime) -> String {
    created.format(&Rfc3339).expect("brokers live in years of four digits")
}

async fn head(db: &Database) -> sqlx::Result<i64> {
    // The last position that was given out, not the last row: rows may be gone, or not there yet.
    sqlx::query_scalar(
        "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('log', 'seq')), 0)",
    )
    .fetch_one(db.pool())
    .await
}
