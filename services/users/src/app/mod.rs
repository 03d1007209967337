//! What callers may ask for.

mod accounts;
mod brake;
mod keys;
mod mails;
mod passwords;
mod roles;
mod sessions;
mod sign_in;

use std::sync::Arc;

use mesh_auth::{NotHashed, NotSigned, Passwords, Stamps};
use mesh_log::{Database, SubmitError, append};
use sqlx::PgConnection;
use tokio::sync::Notify;
use uuid::Uuid;

pub use accounts::{
    DeactivateUser, RegisterUser, UpdateUser, deactivate_user, list_users, register_user,
    update_user,
};
pub use brake::Brake;
pub use keys::{Keys, secret};
pub use mails::{
    ConfirmEmail, RequestReset, RequestVerification, ToDeliver, confirm_email, get_mail,
    request_reset, request_verification,
};
pub use passwords::{ChangePassword, ConfirmReset, change_password, confirm_reset};
pub use roles::{ChangeRole, Known, change_role, list_grants, list_roles};
pub use sessions::{SignOut, Signed, list_sessions, refresh, sign_out};
pub use sign_in::{SignIn, sign_in};

use crate::{
    domain::{Refusal, SessionEnd, UserEvent},
    events, store,
};

/// The purposes of the tokens that we make ourselves.
const REFRESH: &str = "refresh";
const MAIL: &str = "mail";

/// What use cases work with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub db: Database,
    pub passwords: Passwords,
    pub stamps: Stamps,
    pub keys: Arc<Keys>,
    pub brake: Brake,
    /// Wakes who tells verifiers what is revoked.
    pub revoked: Arc<Notify>,
}

/// Why a use case did not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotHashed(#[from] NotHashed),
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}

/// Announces what happened to an account.
async fn announce(
    tx: &mut PgConnection,
    user: Uuid,
    happened: Vec<UserEvent>,
) -> Result<(), Error> {
    if happened.is_empty() {
        return Ok(());
    }
    let first = store::tell_of(tx, user, happened.len()).await?;
    let events: Vec<_> = happened.into_iter().map(|event| events::announce(user, event)).collect();
    Ok(append(tx, user, first, &events).await?)
}

/// Ends sessions of an account whose row is locked, and their access tokens: all of them, or `only`
/// one, or all `but` one. Returns what to announce.
async fn end_sessions(
    tx: &mut PgConnection,
    user: Uuid,
    (only, but): (Option<Uuid>, Option<Uuid>),
    end: SessionEnd,
) -> Result<Vec<UserEvent>, Error> {
    let ended = store::end_sessions(tx, user, only, but).await?;
    if !ended.is_empty() {
        store::revoke_session(tx, &ended, token_life()).await?;
    }
    let revoked = ended.into_iter().map(|session| UserEvent::SessionRevoked { session, end });
    Ok(revoked.collect())
}

/// For how many seconds an access token may be taken somewhere.
fn token_life() -> f64 {
    (mesh_auth::LIFE + 2 * mesh_auth::SKEW).as_secs_f64()
}
