//! SQL.

mod attempts;
mod keys;
mod mails;
mod revocations;
mod roles;
mod sessions;
mod users;

use mesh_log::{Traced as _, requests::Key};
use sqlx::PgConnection;
use time::OffsetDateTime;

pub use attempts::{Admission, admit, give_back, settle};
pub use keys::{StoredKey, drop_keys, insert_key, lock_keys, secret};
pub use mails::{Mail, insert_mail, mail, spend_mails, use_mail};
pub use revocations::{Revocation, live_revocations, revoke_session, revoke_tokens, tell, untold};
pub use roles::{
    grant, granted, has_role, permissions, permitted, revoke, role_permissions, roles,
};
pub use sessions::{
    end_sessions, insert_session, list_sessions, lock_session, save_refresh, session, sweep,
};
pub use users::{
    Account, account, get_user, has_password, insert_user, list_users, lock_user, made_user,
    password, save_user, set_password, tell_of, user_at,
};

/// Waits until no other transaction handles this request; so a request that comes twice at once,
/// even with other content, finds what the first did.
pub async fn alone(tx: &mut PgConnection, key: Key) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(key.as_uuid().to_string())
        .execute(tx)
        .traced("SELECT pg_advisory_xact_lock")
        .await?;
    Ok(())
}

/// The database's time.
pub async fn now(tx: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    let now = sqlx::query_scalar("SELECT clock_timestamp()");
    now.fetch_one(tx).traced_one("SELECT clock_timestamp").await
}

fn unreadable(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("not {what}").into())
}
