//! Sessions: their tokens, their refreshes, and their ends.

use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use mesh_auth::{Grant, LIFE};
use mesh_log::{
    requests::{self, Key, Seen},
    transact,
};
use mesh_runtime::Secret;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{App, Error, REFRESH, accounts::seen_before, announce, end_sessions};
use crate::{
    domain::{Refreshed, Refusal, Session, SessionEnd, State},
    store,
};

/// How long before its beginning a token is given, where one role after the other was taken: less than
/// verifiers' clocks may differ by.
const AHEAD: Duration = Duration::from_secs(2);

/// A session with its tokens.
pub struct Signed {
    pub session: Session,
    pub access: Secret,
    pub access_expires: OffsetDateTime,
    pub refresh: Secret,
}

/// Asks for the end of a session, or of all.
pub struct SignOut {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub user: Uuid,
    /// None: all of them.
    pub session: Option<Uuid>,
}

/// The tokens of a session as it is. The same each time, as long as the person's roles and the key
/// are the same.
pub(super) async fn sign(app: &App, session: Session) -> Result<Signed, Error> {
    let granted = store::permitted(app.db.pool(), session.user).await?;
    // What was signed in the second of a revocation is revoked: so this begins in the next. A session
    // that has ended gives the tokens that it gave, and no other.
    let begin = match granted.after {
        Some(after) if !session.ended => session.refreshed.max(after + Duration::from_secs(1)),
        _ => session.refreshed,
    };
    let begin = begin.replace_nanosecond(0).unwrap_or(begin);
    // Nobody believes a token long before it begins.
    let ahead = begin - OffsetDateTime::now_utc();
    tokio::time::sleep(Duration::try_from(ahead).unwrap_or_default().saturating_sub(AHEAD)).await;
    let grant = Grant::new(session.user, session.id);
    let grant = grant.roles(granted.roles).permissions(granted.permissions);
    let access = app.keys.signer().sign_at(&grant, SystemTime::from(begin))?;
    let refresh = app.stamps.stamp(REFRESH, session.id, session.generation);
    Ok(Signed { session, access, access_expires: begin + LIFE, refresh })
}

/// Exchanges a refresh token for the next tokens.
pub async fn refresh(app: &App, token: &Secret) -> Result<Signed, Error> {
    let read = app.stamps.read(REFRESH, token.expose());
    let (id, generation) = read.ok_or(Refusal::RefreshTokenRefused)?;
    let taken = transact(&app.db, "refresh_session", move |tx| take(tx, id, generation).boxed());
    match taken.await? {
        Some(session) => sign(app, session).await,
        None => {
            app.revoked.notify_one();
            Err(Refusal::RefreshTokenReused.into())
        }
    }
}

/// Takes a refresh token. Nothing comes of one that was used before: the session has ended for that,
/// which must be committed, so it is no error here.
async fn take(tx: &mut PgConnection, id: Uuid, generation: u32) -> Result<Option<Session>, Error> {
    let found = store::session(tx, id).await?;
    let (found, _) = found.ok_or(Refusal::RefreshTokenRefused)?;
    let user = store::lock_user(tx, found.user).await?;
    let (user, now) = user.ok_or(Refusal::RefreshTokenRefused)?;
    let session = store::lock_session(tx, id).await?;
    let mut session = session.ok_or(Refusal::RefreshTokenRefused)?;
    if user.state == State::Deactivated {
        return Err(Refusal::RefreshTokenRefused.into());
    }
    match session.refresh(generation, now) {
        Refreshed::Refused => Err(Refusal::RefreshTokenRefused.into()),
        Refreshed::Again => Ok(Some(session)),
        Refreshed::Next => {
            store::save_refresh(tx, &session).await?;
            Ok(Some(session))
        }
        Refreshed::Reused => {
            let end = SessionEnd::TokenReused;
            let ended = end_sessions(tx, user.id, (Some(id), None), end).await?;
            announce(tx, user.id, ended).await?;
            Ok(None)
        }
    }
}

/// Ends a session, or all of a person.
pub async fn sign_out(app: &App, command: SignOut) -> Result<(), Error> {
    let label = if command.session.is_some() { "sign_out" } else { "sign_out_everywhere" };
    transact(&app.db, label, move |tx| end(tx, command).boxed()).await?;
    app.revoked.notify_one();
    Ok(())
}

async fn end(tx: &mut PgConnection, command: SignOut) -> Result<(), Error> {
    let SignOut { key, digest, user, session } = command;
    store::alone(tx, key).await?;
    if seen_before(tx, key, digest).await?.is_some() {
        return Ok(());
    }
    let found = store::lock_user(tx, user).await?;
    match session {
        Some(session) => {
            let found = store::lock_session(tx, session).await?;
            let of_user = found.is_some_and(|session| session.user == user);
            of_user.then_some(()).ok_or(Refusal::SessionNotFound)?;
        }
        None => drop(found.ok_or(Refusal::UserNotFound)?),
    }
    let ended = end_sessions(tx, user, (session, None), SessionEnd::SignedOut).await?;
    announce(tx, user, ended).await?;
    requests::record(tx, &[(key, Seen { digest, thing: user, version: 0 })]).await?;
    Ok(())
}

/// Returns a page of a person's sessions, and whether the list goes on.
pub async fn list_sessions(
    app: &App,
    user: Uuid,
    after: Option<Uuid>,
    size: usize,
) -> Result<(Vec<Session>, bool), Error> {
    let mut sessions = store::list_sessions(app.db.pool(), user, after, size + 1).await?;
    let more = sessions.len() > size;
    sessions.truncate(size);
    Ok((sessions, more))
}
