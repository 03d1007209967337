//! Appends events in a transaction that the caller owns.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Event;

/// Appends events of `key`; the first gets `version`, the next ones follow.
///
/// Whoever holds the row that `key` names under lock passes the row's new version. Fails with a
/// unique violation if that version of the key is taken. Costs one round trip.
pub async fn append(
    tx: &mut PgConnection,
    key: Uuid,
    version: i32,
    events: &[Event],
) -> sqlx::Result<()> {
    let rows: Vec<_> = (version..).zip(events).map(|(v, event)| (key, v, event.clone())).collect();
    append_all(tx, &rows).await
}

/// Appends events of many keys, in the order given. Costs one round trip, none if there are none.
pub async fn append_all(tx: &mut PgConnection, rows: &[(Uuid, i32, Event)]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    // The reader's soundness rests on this: only an insert, which locks the table, draws a `seq`.
    sqlx::query(
        "INSERT INTO log (key, version, id, type, public, body, meta)
         SELECT r.key, r.version, r.id, r.type, r.public, r.body, r.meta
         FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::bool[], $6::bytea[],
                     $7::bytea[])
              WITH ORDINALITY AS r(key, version, id, type, public, body, meta, n)
         ORDER BY r.n",
    )
    .bind(rows.iter().map(|(key, ..)| *key).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, version, _)| *version).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., event)| event.id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., event)| event.kind.as_ref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., event)| event.public).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., event)| event.body.as_ref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., event)| encoded(event)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

fn encoded(event: &Event) -> Vec<u8> {
    prost::Message::encode_to_vec(&event.meta)
}
