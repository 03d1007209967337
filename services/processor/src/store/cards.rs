//! The cards that have a token.

use std::collections::HashMap;

use mesh_log::Traced as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::Behaviour;

/// A card as it is kept.
pub struct Card {
    pub token: String,
    /// Keyed digest of the request that made it.
    pub digest: Vec<u8>,
    pub last_digits: String,
}

/// The key of this database's card digests.
pub async fn key(tx: &mut PgConnection) -> sqlx::Result<Vec<u8>> {
    let key = sqlx::query_scalar("SELECT key FROM card_key");
    key.fetch_one(tx).traced_one("SELECT card_key").await
}

/// Keeps a card under a new token. Returns false if `request_id` made one already.
pub async fn insert(
    tx: &mut PgConnection,
    request_id: Uuid,
    card: &Card,
    behaviour: Behaviour,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO cards (token, request_id, digest, last_digits, behaviour)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (request_id) DO NOTHING",
    )
    .bind(&card.token)
    .bind(request_id)
    .bind(&card.digest)
    .bind(&card.last_digits)
    .bind(behaviour.name())
    .execute(tx)
    .traced("INSERT cards")
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The card that `request_id` made.
pub async fn by_request(tx: &mut PgConnection, request_id: Uuid) -> sqlx::Result<Card> {
    let (token, digest, last_digits) =
        sqlx::query_as("SELECT token, digest, last_digits FROM cards WHERE request_id = $1")
            .bind(request_id)
            .fetch_one(tx)
            .traced_one("SELECT cards")
            .await?;
    Ok(Card { token, digest, last_digits })
}

/// What the sandbox does with each of these cards; unknown tokens are absent.
pub async fn behaviours(
    tx: &mut PgConnection,
    tokens: &[&str],
) -> sqlx::Result<HashMap<String, Behaviour>> {
    if tokens.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT token, behaviour FROM cards WHERE token = ANY($1)")
            .bind(tokens)
            .fetch_all(tx)
            .traced("SELECT cards")
            .await?;
    rows.into_iter()
        .map(|(token, name)| match Behaviour::by_name(&name) {
            Some(behaviour) => Ok((token, behaviour)),
            None => Err(sqlx::Error::Decode(format!("no behaviour is named {name}").into())),
        })
        .collect()
}
