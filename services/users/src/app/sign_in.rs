//! Signing in: the same steps, in the same time, whoever does not get in, and why.

use futures::FutureExt as _;
use mesh_log::{requests::Key, transact};
use mesh_runtime::Secret;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    App, Error,
    sessions::{Signed, sign},
};
use crate::{
    domain::{Email, Refusal, Session},
    store::{self, Account},
};

/// Asks for a session.
pub struct SignIn {
    pub request_id: Uuid,
    pub method: &'static str,
    pub email: Email,
    pub password: Secret,
    pub device: String,
    /// Digest of the request as it was sent, without the password.
    pub digest: [u8; 16],
    /// Where the caller is.
    pub address: String,
}

/// Begins a session, or returns the one that an earlier call with this request began, as it began.
pub async fn sign_in(app: &App, command: SignIn) -> Result<Signed, Error> {
    let (email, fields) = (&command.email, &["email", "password"]);
    let attempt = app.brake.admit("sign_in", Some(email.as_str()), &command.address, fields);
    let attempt = attempt.await?;
    let found = store::account(app.db.pool(), email).await?;
    let hash = found.as_ref().map(|account| account.hash.as_str());
    let right = app.passwords.verify(&command.password, hash).await?;
    let account = found.filter(|account| right && account.active);
    let account = account.ok_or(Refusal::SignInRefused)?;
    attempt.succeeded().await?;
    let begun = transact(&app.db, "sign_in", move |tx| begin(tx, command, account).boxed());
    sign(app, begun.await?).await
}

async fn begin(tx: &mut PgConnection, command: SignIn, account: Account) -> Result<Session, Error> {
    let SignIn { request_id, method, device, digest, .. } = command;
    // Others' requests cannot meet it, whatever their ids.
    let key = Key::new(method, &account.id.to_string(), request_id);
    store::alone(tx, key).await?;
    if let Some((session, first)) = store::session(tx, key.as_uuid()).await? {
        if first != digest {
            return Err(Refusal::ContentDiffers.into());
        }
        return Ok(session.as_begun());
    }
    let locked = store::lock_user(tx, account.id).await?;
    let (user, now) = locked.ok_or(Refusal::SignInRefused)?;
    // The password was changed, or the account deactivated, since it was verified: what that ended
    // must not begin again.
    user.check_active().map_err(|_| Refusal::SignInRefused)?;
    if !store::has_password(tx, user.id, &account.hash).await? {
        return Err(Refusal::SignInRefused.into());
    }
    let session = Session {
        id: key.as_uuid(),
        user: user.id,
        device,
        generation: 0,
        created: now,
        refreshed: now,
        ended: false,
    };
    store::insert_session(tx, &session, digest).await?;
    Ok(session)
}
