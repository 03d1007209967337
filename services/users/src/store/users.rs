//! Reads and writes `users`, what they were, and `credentials`.

use mesh_log::{Pool, Traced as _};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::unreadable;
use crate::domain::{Email, State, User};

/// What a sign-in has to know of an account.
pub struct Account {
    pub id: Uuid,
    pub active: bool,
    /// Of its password.
    pub hash: String,
}

/// Saves a new account. Returns false if its id or its address is taken; waits for whoever is taking
/// one.
pub async fn insert_user(
    tx: &mut PgConnection,
    user: &User,
    digest: [u8; 16],
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO users (user_id, email, email_verified, name, phone, language, newsletter,
                            state, version, digest, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT DO NOTHING",
    )
    .bind(user.id)
    .bind(user.email.as_str())
    .bind(user.verified)
    .bind(&user.name)
    .bind(&user.phone)
    .bind(&user.language)
    .bind(user.newsletter)
    .bind(user.state.as_str())
    .bind(user.version)
    .bind(digest)
    .bind(user.created)
    .bind(user.updated)
    .execute(tx)
    .traced("INSERT users")
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns the account with this id, and the digest of the request that made it.
pub async fn made_user(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<(User, Vec<u8>)>> {
    let row = sqlx::query(
        "SELECT user_id, email, email_verified, name, phone, language, newsletter, state, version,
                created_at, updated_at, digest
         FROM users WHERE user_id = $1",
    )
    .bind(id)
    .fetch_optional(tx)
    .traced("SELECT users")
    .await?;
    row.map(|row| Ok((user(&row)?, row.try_get("digest")?))).transpose()
}

/// Locks the account with this id. Returns it, and the database's time.
pub async fn lock_user(
    tx: &mut PgConnection,
    id: Uuid,
) -> sqlx::Result<Option<(User, OffsetDateTime)>> {
    let row = sqlx::query(
        "SELECT user_id, email, email_verified, name, phone, language, newsletter, state, version,
                created_at, updated_at, clock_timestamp() AS now
         FROM users WHERE user_id = $1 FOR NO KEY UPDATE",
    )
    .bind(id)
    .fetch_optional(tx)
    .traced("SELECT users")
    .await?;
    row.map(|row| Ok((user(&row)?, row.try_get("now")?))).transpose()
}

/// Writes an account that was changed, and keeps what it was.
pub async fn save_user(tx: &mut PgConnection, user: &User) -> sqlx::Result<()> {
    sqlx::query(
        "WITH former AS (
           INSERT INTO former_users (user_id, version, email_verified, name, phone, language,
                                     newsletter, state, updated_at)
           SELECT user_id, version, email_verified, name, phone, language, newsletter, state,
                  updated_at
           FROM users WHERE user_id = $1
         )
         UPDATE users SET email_verified = $2, name = $3, phone = $4, language = $5,
                          newsletter = $6, state = $7, version = $8, updated_at = $9
         WHERE user_id = $1",
    )
    .bind(user.id)
    .bind(user.verified)
    .bind(&user.name)
    .bind(&user.phone)
    .bind(&user.language)
    .bind(user.newsletter)
    .bind(user.state.as_str())
    .bind(user.version)
    .bind(user.updated)
    .execute(tx)
    .traced("UPDATE users")
    .await?;
    Ok(())
}

/// Returns the account with this id as it was at `version`.
pub async fn user_at(tx: &mut PgConnection, id: Uuid, version: i32) -> sqlx::Result<User> {
    let (now, _) = made_user(&mut *tx, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    if now.version == version {
        return Ok(now);
    }
    let row = sqlx::query(
        "SELECT email_verified, name, phone, language, newsletter, state, updated_at
         FROM former_users WHERE user_id = $1 AND version = $2",
    )
    .bind(id)
    .bind(version)
    .fetch_optional(tx)
    .traced("SELECT former_users")
    .await?
    .ok_or_else(|| unreadable("a version of the account"))?;
    Ok(User {
        verified: row.try_get("email_verified")?,
        name: row.try_get("name")?,
        phone: row.try_get("phone")?,
        language: row.try_get("language")?,
        newsletter: row.try_get("newsletter")?,
        state: state(&row)?,
        version,
        updated: row.try_get("updated_at")?,
        ..now
    })
}

/// Returns the account with this id.
pub async fn get_user(db: &Pool, id: Uuid) -> sqlx::Result<Option<User>> {
    let row = sqlx::query(
        "SELECT user_id, email, email_verified, name, phone, language, newsletter, state, version,
                created_at, updated_at
         FROM users WHERE user_id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(user).transpose()
}

/// Returns at most `limit` accounts in the order of their ids, beginning behind `after`.
pub async fn list_users(
    db: &Pool,
    only: Option<State>,
    after: Option<Uuid>,
    limit: usize,
) -> sqlx::Result<Vec<User>> {
    let found = sqlx::query(
        "SELECT user_id, email, email_verified, name, phone, language, newsletter, state, version,
                created_at, updated_at
         FROM users
         WHERE user_id > $1 AND ($2::text IS NULL OR state = $2)
         ORDER BY user_id LIMIT $3",
    )
    .bind(after.unwrap_or_default())
    .bind(only.map(State::as_str))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await?;
    found.iter().map(user).collect()
}

/// Returns what a sign-in has to know of the account with this address.
pub async fn account(db: &Pool, email: &Email) -> sqlx::Result<Option<Account>> {
    let row = sqlx::query(
        "SELECT user_id, state, hash FROM users JOIN credentials USING (user_id)
         WHERE email = $1",
    )
    .bind(email.as_str())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(credentials).transpose()
}

/// Returns what a change of the password has to know of the account with this id.
pub async fn password(db: &Pool, id: Uuid) -> sqlx::Result<Option<Account>> {
    let row = sqlx::query(
        "SELECT user_id, state, hash FROM users JOIN credentials USING (user_id)
         WHERE user_id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(credentials).transpose()
}

/// Sets the hash of the account's password. With `was`, only if it is that until now; returns
/// whether it is set.
pub async fn set_password(
    tx: &mut PgConnection,
    id: Uuid,
    hash: &str,
    was: Option<&str>,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO credentials AS c (user_id, hash) VALUES ($1, $2)
         ON CONFLICT (user_id) DO UPDATE SET hash = $2, changed_at = clock_timestamp()
         WHERE $3::text IS NULL OR c.hash = $3",
    )
    .bind(id)
    .bind(hash)
    .bind(was)
    .execute(tx)
    .traced("INSERT credentials")
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the hash of the account's password is still this one.
pub async fn has_password(tx: &mut PgConnection, id: Uuid, hash: &str) -> sqlx::Result<bool> {
    let found = sqlx::query("SELECT FROM credentials WHERE user_id = $1 AND hash = $2");
    let found = found.bind(id).bind(hash).fetch_optional(tx).traced("SELECT credentials");
    Ok(found.await?.is_some())
}

/// Counts further events of the account, and returns the number of the first. The account is locked
/// from then on.
pub async fn tell_of(tx: &mut PgConnection, id: Uuid, events: usize) -> sqlx::Result<i32> {
    let events = i32::try_from(events).unwrap_or(i32::MAX);
    let first = sqlx::query_scalar(
        "UPDATE users SET told = told + $2 WHERE user_id = $1 RETURNING told - $2 + 1",
    );
    first.bind(id).bind(events).fetch_one(tx).traced_one("UPDATE users").await
}

fn credentials(row: &PgRow) -> sqlx::Result<Account> {
    let active = state(row)? == State::Active;
    Ok(Account { id: row.try_get("user_id")?, active, hash: row.try_get("hash")? })
}

fn user(row: &PgRow) -> sqlx::Result<User> {
    let email = Email::parse(row.try_get("email")?);
    Ok(User {
        id: row.try_get("user_id")?,
        email: email.ok_or_else(|| unreadable("an e-mail address"))?,
        verified: row.try_get("email_verified")?,
        name: row.try_get("name")?,
        phone: row.try_get("phone")?,
        language: row.try_get("language")?,
        newsletter: row.try_get("newsletter")?,
        state: state(row)?,
        version: row.try_get("version")?,
        created: row.try_get("created_at")?,
        updated: row.try_get("updated_at")?,
    })
}

fn state(row: &PgRow) -> sqlx::Result<State> {
    match row.try_get("state")? {
        "ACTIVE" => Ok(State::Active),
        "DEACTIVATED" => Ok(State::Deactivated),
        _ => Err(unreadable("a state")),
    }
}
