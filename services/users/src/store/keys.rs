//! Reads and writes `signing_keys` and `secrets`.

use mesh_log::Traced as _;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// A key that signs access tokens, has signed, or will.
pub struct StoredKey {
    pub kid: String,
    pub pkcs8: Vec<u8>,
    /// From when on it signs.
    pub signs_at: OffsetDateTime,
}

/// Waits until no other transaction changes the keys. Returns them, the one that signs last first.
pub async fn lock_keys(tx: &mut PgConnection) -> sqlx::Result<Vec<StoredKey>> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('signing_keys', 0))")
        .execute(&mut *tx)
        .traced("SELECT pg_advisory_xact_lock")
        .await?;
    let rows: Vec<(String, Vec<u8>, OffsetDateTime)> =
        sqlx::query_as("SELECT kid, pkcs8, signs_at FROM signing_keys ORDER BY signs_at DESC")
            .fetch_all(tx)
            .traced("SELECT signing_keys")
            .await?;
    Ok(rows.into_iter().map(stored).collect())
}

/// Saves a key.
pub async fn insert_key(tx: &mut PgConnection, key: &StoredKey) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO signing_keys (kid, pkcs8, signs_at) VALUES ($1, $2, $3)")
        .bind(&key.kid)
        .bind(&key.pkcs8)
        .bind(key.signs_at)
        .execute(tx)
        .traced("INSERT signing_keys")
        .await?;
    Ok(())
}

/// Removes keys.
pub async fn drop_keys(tx: &mut PgConnection, kids: &[&str]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM signing_keys WHERE kid = ANY($1)")
        .bind(kids)
        .execute(tx)
        .traced("DELETE signing_keys")
        .await?;
    Ok(())
}

/// Returns the secret of this name: `fresh`, if there was none.
pub async fn secret(tx: &mut PgConnection, name: &str, fresh: &[u8]) -> sqlx::Result<Vec<u8>> {
    sqlx::query("INSERT INTO secrets (name, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(fresh)
        .execute(&mut *tx)
        .traced("INSERT secrets")
        .await?;
    let secret = sqlx::query_scalar("SELECT secret FROM secrets WHERE name = $1").bind(name);
    secret.fetch_one(tx).traced_one("SELECT secrets").await
}

fn stored((kid, pkcs8, signs_at): (String, Vec<u8>, OffsetDateTime)) -> StoredKey {
    StoredKey { kid, pkcs8, signs_at }
}
