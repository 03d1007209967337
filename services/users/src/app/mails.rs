//! Mails with a token: that there is one is announced, and whoever delivers it asks for it.

use std::time::Duration;

use futures::FutureExt as _;
use mesh_log::{
    requests::{self, Key, Seen},
    transact,
};
use mesh_runtime::Secret;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    App, Error, MAIL,
    accounts::{repeated, seen_before},
    announce,
};
use crate::{
    domain::{Email, MailKind, Refusal, State, User, UserEvent},
    store::{self, Mail},
};

/// For how long the token of a mail is good.
const RESET_LIFE: Duration = Duration::from_secs(60 * 60);
const VERIFICATION_LIFE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// No answer says sooner than this that a reset was asked for: it is longer than what is done only where
/// there is an account, so how long it takes does not tell whether there is one.
const RESET_ANSWER: Duration = Duration::from_millis(200);

/// Asks for a mail with which a new password can be set.
pub struct RequestReset {
    /// The request's id, which becomes the mail's.
    pub id: Uuid,
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub email: Email,
    /// Where the caller is.
    pub address: String,
}

/// Asks for a mail with which the address can be confirmed.
pub struct RequestVerification {
    /// The request's id, which becomes the mail's.
    pub id: Uuid,
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub user: Uuid,
    /// Where the caller is.
    pub address: String,
}

/// Asks for an address to be taken as confirmed.
pub struct ConfirmEmail {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub token: Secret,
}

/// A mail, to whom, and its token.
pub struct ToDeliver {
    pub mail: Mail,
    pub to: User,
    pub token: Secret,
}

/// Makes a mail for the account with this address. If there is none, the same is done except that.
pub async fn request_reset(app: &App, command: RequestReset) -> Result<(), Error> {
    let RequestReset { id, key, digest, email, address } = command;
    let due = Instant::now() + RESET_ANSWER;
    // Not given back: that it succeeds is what somebody would repeat it for.
    app.brake.admit("mail", Some(email.as_str()), &address, &["email"]).await?;
    let account = store::account(app.db.pool(), &email).await?;
    let user = account.filter(|account| account.active).map(|account| account.id);
    let made = transact(&app.db, "request_password_reset", move |tx| {
        make(tx, (key, digest), id, user, MailKind::PasswordReset).boxed()
    });
    let made = made.await;
    sleep_until(due).await;
    made
}

/// Makes a mail for an account whose address is not confirmed.
pub async fn request_verification(app: &App, command: RequestVerification) -> Result<(), Error> {
    let RequestVerification { id, key, digest, user, address } = command;
    if repeated(app, key, digest).await? {
        return Ok(());
    }
    let found = store::get_user(app.db.pool(), user).await?.ok_or(Refusal::UserNotFound)?;
    found.check_active()?;
    let name = user.to_string();
    app.brake.admit("mail", Some(&name), &address, &["user_id"]).await?;
    transact(&app.db, "request_email_verification", move |tx| {
        make(tx, (key, digest), id, Some(user), MailKind::EmailVerification).boxed()
    })
    .await
}

/// Takes the address of an account as confirmed.
pub async fn confirm_email(app: &App, command: ConfirmEmail) -> Result<(), Error> {
    let mail = match app.stamps.read(MAIL, command.token.expose()) {
        Some((mail, _)) => store::mail(app.db.pool(), mail).await?,
        None => None,
    };
    transact(&app.db, "confirm_email_verification", move |tx| confirm(tx, command, mail).boxed())
        .await
}

/// Returns a mail that is to be delivered.
pub async fn get_mail(app: &App, id: Uuid) -> Result<ToDeliver, Error> {
    let mail = store::mail(app.db.pool(), id).await?.ok_or(Refusal::MailNotFound)?;
    let to = store::get_user(app.db.pool(), mail.user).await?;
    let to = to.filter(|user| user.state == State::Active).ok_or(Refusal::MailNotFound)?;
    let token = app.stamps.stamp(MAIL, id, 0);
    Ok(ToDeliver { mail, to, token })
}

async fn make(
    tx: &mut PgConnection,
    (key, digest): (Key, [u8; 16]),
    id: Uuid,
    user: Option<Uuid>,
    kind: MailKind,
) -> Result<(), Error> {
    store::alone(tx, key).await?;
    if seen_before(tx, key, digest).await?.is_some() {
        return Ok(());
    }
    let found = match user {
        Some(user) => store::lock_user(tx, user).await?,
        None => None,
    };
    let of = |(user, _): &(User, _)| user.state == State::Active && !is_needless(user, kind);
    if let Some((user, now)) = found.filter(of) {
        let life = match kind {
            MailKind::PasswordReset => RESET_LIFE,
            MailKind::EmailVerification => VERIFICATION_LIFE,
        };
        let mail = Mail { id, user: user.id, kind, expires: now + life };
        store::insert_mail(tx, &mail).await?;
        announce(tx, user.id, vec![UserEvent::MailRequested { kind, mail: id }]).await?;
    }
    requests::record(tx, &[(key, Seen { digest, thing: id, version: 0 })]).await?;
    Ok(())
}

fn is_needless(user: &User, kind: MailKind) -> bool {
    kind == MailKind::EmailVerification && user.verified
}

async fn confirm(
    tx: &mut PgConnection,
    command: ConfirmEmail,
    mail: Option<Mail>,
) -> Result<(), Error> {
    let ConfirmEmail { key, digest, .. } = command;
    store::alone(tx, key).await?;
    if seen_before(tx, key, digest).await?.is_some() {
        return Ok(());
    }
    let mail = mail.ok_or(Refusal::MailTokenRefused)?;
    let (mut user, now) =
        store::lock_user(tx, mail.user).await?.ok_or(Refusal::MailTokenRefused)?;
    let used = store::use_mail(tx, mail.id, MailKind::EmailVerification).await?;
    used.ok_or(Refusal::MailTokenRefused)?;
    if let Some(event) = user.verify(now) {
        store::save_user(tx, &user).await?;
        announce(tx, user.id, vec![event]).await?;
    }
    requests::record(tx, &[(key, Seen { digest, thing: user.id, version: 0 })]).await?;
    Ok(())
}
