//! Appends events in a transaction that the caller owns.

use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

use crate::{
    Event,
    requests::{self, Key, Seen, record_sql},
    statement,
};

/// The reader's soundness rests on this: only an insert, which locks the table, draws a `seq`.
macro_rules! append {
    () => {
        "INSERT INTO log (key, version, id, type, public, body, meta)
         SELECT r.key, r.version, r.id, r.type, r.public, r.body, r.meta
         FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::bool[], $6::bytea[],
                     $7::bytea[])
              WITH ORDINALITY AS r(key, version, id, type, public, body, meta, n)
         ORDER BY r.n"
    };
}

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
    let query = bind(sqlx::query(append!()), rows);
    statement("INSERT log", query.execute(tx)).await.map(drop)
}

/// Ends a batch: records the keys of its requests ([`requests::record`]) and appends its events
/// ([`append_all`]). Costs one round trip for both, none if there is nothing to write.
///
/// Keys are written in their order, so two batches never wait for each other in a circle.
pub async fn conclude(
    tx: &mut PgConnection,
    keys: &[(Key, Seen)],
    rows: &[(Uuid, i32, Event)],
) -> sqlx::Result<()> {
    if keys.is_empty() {
        return append_all(tx, rows).await;
    }
    if rows.is_empty() {
        return requests::record(tx, keys).await;
    }
    let query = bind(
        sqlx::query(concat!(
            "WITH recorded AS (",
            record_sql!("$8", "$9", "$10", "$11"),
            ") ",
            append!()
        )),
        rows,
    );
    let query = requests::bind(query, keys);
    statement("INSERT log", query.execute(tx)).await.map(drop)
}

fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    rows: &'q [(Uuid, i32, Event)],
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(rows.iter().map(|(key, ..)| *key).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, version, _)| *version).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., event)| event.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., event)| event.kind.as_ref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., event)| event.public).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., event)| event.body.as_ref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., event)| encoded(event)).collect::<Vec<_>>())
}

fn encoded(event: &Event) -> Vec<u8> {
    prost::Message::encode_to_vec(&event.meta)
}
