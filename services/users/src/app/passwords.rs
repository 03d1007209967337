//! Other passwords.

use futures::FutureExt as _;
use mesh_log::{
    requests::{self, Key, Seen},
    transact,
};
use mesh_runtime::Secret;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    App, Error, MAIL,
    accounts::{repeated, seen_before},
    announce, end_sessions,
};
use crate::{
    domain::{MailKind, Refusal, SessionEnd, UserEvent},
    store,
};

/// Asks for another password, with the current one.
pub struct ChangePassword {
    pub key: Key,
    /// Digest of the request as it was sent, without the passwords.
    pub digest: [u8; 16],
    pub user: Uuid,
    pub current: Secret,
    pub new: Secret,
    /// The session that goes on.
    pub keep: Option<Uuid>,
    /// Where the caller is.
    pub address: String,
}

/// Asks for another password, with the token of a mail.
pub struct ConfirmReset {
    pub key: Key,
    /// Digest of the request as it was sent, without the password.
    pub digest: [u8; 16],
    pub token: Secret,
    pub new: Secret,
}

/// What has to hold when the password is set.
enum Proof {
    /// It was verified against this hash.
    Current {
        user: Uuid,
        hash: String,
        keep: Option<Uuid>,
    },
    Mail {
        user: Uuid,
        mail: Uuid,
    },
}

/// Sets another password, unless an earlier call with this request did.
pub async fn change_password(app: &App, command: ChangePassword) -> Result<(), Error> {
    let ChangePassword { key, digest, user, current, new, keep, address } = command;
    if repeated(app, key, digest).await? {
        return Ok(());
    }
    let account = store::password(app.db.pool(), user).await?.ok_or(Refusal::UserNotFound)?;
    if !account.active {
        return Err(Refusal::UserDeactivated.into());
    }
    let (name, fields) = (user.to_string(), &["current_password"]);
    let attempt = app.brake.admit("change_password", Some(&name), &address, fields).await?;
    if !app.passwords.verify(&current, Some(&account.hash)).await? {
        return unless_repeated(app, key, digest, Refusal::PasswordWrong).await;
    }
    attempt.succeeded().await?;
    let hash = app.passwords.hash(&new).await?;
    let proof = Proof::Current { user, hash: account.hash, keep };
    transact(&app.db, "change_password", move |tx| set(tx, key, digest, proof, hash).boxed())
        .await?;
    app.revoked.notify_one();
    Ok(())
}

/// Sets a new password with the token of a mail, unless an earlier call with this request did.
pub async fn confirm_reset(app: &App, command: ConfirmReset) -> Result<(), Error> {
    let ConfirmReset { key, digest, token, new } = command;
    if repeated(app, key, digest).await? {
        return Ok(());
    }
    let read = app.stamps.read(MAIL, token.expose());
    let (mail, _) = read.ok_or(Refusal::MailTokenRefused)?;
    // Only who has a mail of ours makes us work.
    let Some(found) = store::mail(app.db.pool(), mail).await? else {
        return unless_repeated(app, key, digest, Refusal::MailTokenRefused).await;
    };
    let hash = app.passwords.hash(&new).await?;
    let proof = Proof::Mail { user: found.user, mail };
    transact(&app.db, "confirm_password_reset", move |tx| {
        set(tx, key, digest, proof, hash).boxed()
    })
    .await?;
    app.revoked.notify_one();
    Ok(())
}

/// Refuses, unless the same request has been carried out meanwhile: what it needs is gone for that.
async fn unless_repeated(
    app: &App,
    key: Key,
    digest: [u8; 16],
    refusal: Refusal,
) -> Result<(), Error> {
    if repeated(app, key, digest).await? { Ok(()) } else { Err(refusal.into()) }
}

async fn set(
    tx: &mut PgConnection,
    key: Key,
    digest: [u8; 16],
    proof: Proof,
    hash: String,
) -> Result<(), Error> {
    store::alone(tx, key).await?;
    if seen_before(tx, key, digest).await?.is_some() {
        return Ok(());
    }
    let user = match proof {
        Proof::Current { user, .. } | Proof::Mail { user, .. } => user,
    };
    let (found, _) = store::lock_user(tx, user).await?.ok_or(Refusal::UserNotFound)?;
    found.check_active()?;
    let (was, keep) = match proof {
        Proof::Current { hash, keep, .. } => (Some(hash), keep),
        Proof::Mail { mail, .. } => {
            let used = store::use_mail(tx, mail, MailKind::PasswordReset).await?;
            used.ok_or(Refusal::MailTokenRefused)?;
            (None, None)
        }
    };
    if !store::set_password(tx, user, &hash, was.as_deref()).await? {
        // Somebody changed it since it was verified.
        return Err(Refusal::PasswordWrong.into());
    }
    // What a mail lets somebody do about the last password ends with that.
    store::spend_mails(tx, user, MailKind::PasswordReset).await?;
    let mut happened = vec![UserEvent::PasswordChanged];
    happened.extend(end_sessions(tx, user, (None, keep), SessionEnd::PasswordChanged).await?);
    announce(tx, user, happened).await?;
    requests::record(tx, &[(key, Seen { digest, thing: user, version: 0 })]).await?;
    Ok(())
}
