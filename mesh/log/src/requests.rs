//! Keys of requests that change a thing without creating it under the key.
//!
//! A request that creates a thing needs none of this: its `request_id` is the thing's id. Others
//! look their key up in the transaction that changes the thing, and record it there.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

use crate::statement;

/// Records the keys that the four parameters hold.
macro_rules! record_sql {
    ($key:literal, $digest:literal, $thing:literal, $version:literal) => {
        concat!(
            "INSERT INTO requests (key, digest, thing, version) SELECT * FROM unnest(",
            $key,
            "::uuid[], ",
            $digest,
            "::bytea[], ",
            $thing,
            "::uuid[], ",
            $version,
            "::int[]) ",
            "AS r(key, digest, thing, version) ORDER BY key"
        )
    };
}
pub(crate) use record_sql;

/// A `request_id`, scoped by method and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Uuid);

impl Key {
    /// The key of `request_id` for an RPC (`package.Service/Method`) and whoever it acts for
    /// (empty for a service).
    pub fn new(method: &str, subject: &str, request_id: Uuid) -> Self {
        Self(Uuid::new_v5(&request_id, format!("{method}\n{subject}").as_bytes()))
    }

    /// The key as the table holds it.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// What an earlier request with the key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Digest of that request as it was sent.
    pub digest: [u8; 16],
    /// The thing that it changed.
    pub thing: Uuid,
    /// The thing's version afterwards.
    pub version: i32,
}

/// Digest of a request as it was sent. Equal content gives equal digests.
pub fn digest<M: prost::Message>(request: &M) -> [u8; 16] {
    let full = Sha256::digest(request.encode_to_vec());
    full[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// Looks keys up; those that were never recorded are absent. Costs one round trip, none for none.
pub async fn find(tx: &mut PgConnection, keys: &[Key]) -> sqlx::Result<HashMap<Key, Seen>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let query =
        sqlx::query_as("SELECT key, digest, thing, version FROM requests WHERE key = ANY($1)")
            .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>());
    let rows: Vec<(Uuid, Vec<u8>, Uuid, i32)> =
        statement("SELECT requests", query.fetch_all(tx)).await?;
    let seen = |(key, digest, thing, version): (Uuid, Vec<u8>, Uuid, i32)| {
        let digest = digest.try_into().unwrap_or_default();
        (Key(key), Seen { digest, thing, version })
    };
    Ok(rows.into_iter().map(seen).collect())
}

/// Records keys, in their order. Fails with a unique violation if another transaction recorded one
/// meanwhile. Costs one round trip, none for none.
pub async fn record(tx: &mut PgConnection, keys: &[(Key, Seen)]) -> sqlx::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let query = bind(sqlx::query(record_sql!("$1", "$2", "$3", "$4")), keys);
    statement("INSERT requests", query.execute(tx)).await.map(drop)
}

pub(crate) fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    keys: &[(Key, Seen)],
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(keys.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, seen)| seen.digest.to_vec()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, seen)| seen.thing).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, seen)| seen.version).collect::<Vec<_>>())
}
