//! Changes of accounts. Rare, so each has a transaction of its own.

use futures::FutureExt as _;
use mesh_log::{
    Pool,
    requests::{self, Key, Seen},
    transact,
};
use mesh_runtime::Secret;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{App, Error, announce, end_sessions};
use crate::{
    domain::{Changes, Email, Refusal, SessionEnd, State, User, UserEvent},
    store,
};

/// Asks for an account.
pub struct RegisterUser {
    /// The request's id, which becomes the account's.
    pub id: Uuid,
    pub email: Email,
    pub password: Secret,
    pub name: String,
    pub language: String,
    /// Digest of the request as it was sent, without the password.
    pub digest: [u8; 16],
    /// Where the caller is.
    pub address: String,
}

/// Asks for other words about a person.
pub struct UpdateUser {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub id: Uuid,
    /// The version that the caller saw, if that matters.
    pub seen: Option<i32>,
    pub changes: Changes,
    /// Names the crash points: `update_profile` or `update_preferences`.
    pub label: &'static str,
}

/// Asks for the end of an account's use.
pub struct DeactivateUser {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub id: Uuid,
    /// The version that the caller saw, if that matters.
    pub seen: Option<i32>,
}

struct Change {
    key: Key,
    digest: [u8; 16],
    id: Uuid,
    seen: Option<i32>,
    what: What,
}

enum What {
    Update(Changes),
    Deactivate,
}

/// Makes an account, or returns the one that an earlier call with this request made, as it was then.
pub async fn register_user(app: &App, command: RegisterUser) -> Result<User, Error> {
    let fields = &["email", "password"];
    let attempt = app.brake.admit("register", None, &command.address, fields).await?;
    let hash = app.passwords.hash(&command.password).await?;
    let user = transact(&app.db, "register_user", move |tx| create(tx, command, hash).boxed());
    let user = user.await?;
    attempt.succeeded().await?;
    Ok(user)
}

/// Changes what is known of a person, or returns what an earlier call with this request made of it.
pub async fn update_user(app: &App, command: UpdateUser) -> Result<User, Error> {
    let UpdateUser { key, digest, id, seen, changes, label } = command;
    let change = Change { key, digest, id, seen, what: What::Update(changes) };
    transact(&app.db, label, move |tx| apply(tx, change).boxed()).await
}

/// Ends the use of an account, or returns what an earlier call with this request made of it.
pub async fn deactivate_user(app: &App, command: DeactivateUser) -> Result<User, Error> {
    let DeactivateUser { key, digest, id, seen } = command;
    let change = Change { key, digest, id, seen, what: What::Deactivate };
    let user = transact(&app.db, "deactivate_user", move |tx| apply(tx, change).boxed()).await?;
    app.revoked.notify_one();
    Ok(user)
}

/// Returns a page of accounts, and whether the list goes on.
pub async fn list_users(
    db: &Pool,
    only: Option<State>,
    after: Option<Uuid>,
    size: usize,
) -> Result<(Vec<User>, bool), Error> {
    let mut users = store::list_users(db, only, after, size + 1).await?;
    let more = users.len() > size;
    users.truncate(size);
    Ok((users, more))
}

async fn create(tx: &mut PgConnection, command: RegisterUser, hash: String) -> Result<User, Error> {
    if let Some(first) = created(tx, &command).await? {
        return Ok(first);
    }
    let now = store::now(tx).await?;
    let user = User {
        id: command.id,
        email: command.email.clone(),
        verified: false,
        name: command.name.clone(),
        phone: String::new(),
        language: command.language.clone(),
        newsletter: false,
        state: State::Active,
        version: 1,
        created: now,
        updated: now,
    };
    if !store::insert_user(tx, &user, command.digest).await? {
        // The same request at the same time, or somebody else's address.
        let first = created(tx, &command).await?;
        return first.ok_or_else(|| Refusal::EmailTaken.into());
    }
    store::set_password(tx, user.id, &hash, None).await?;
    announce(tx, user.id, vec![UserEvent::Registered]).await?;
    Ok(user)
}

/// The account that an earlier call with the same request made.
async fn created(tx: &mut PgConnection, command: &RegisterUser) -> Result<Option<User>, Error> {
    match store::made_user(tx, command.id).await? {
        None => Ok(None),
        Some((_, digest)) if digest != command.digest => Err(Refusal::ContentDiffers.into()),
        Some(_) => Ok(Some(store::user_at(tx, command.id, 1).await?)),
    }
}

async fn apply(tx: &mut PgConnection, change: Change) -> Result<User, Error> {
    let Change { key, digest, id, seen, what } = change;
    store::alone(tx, key).await?;
    if let Some(first) = seen_before(tx, key, digest).await? {
        return Ok(store::user_at(tx, first.thing, first.version).await?);
    }
    let found = store::lock_user(tx, id).await?;
    let (mut user, now) = found.ok_or(Refusal::UserNotFound)?;
    user.check(seen)?;
    let (event, ends) = match what {
        What::Update(changes) => (user.update(changes, now)?, false),
        What::Deactivate => (user.deactivate(now), true),
    };
    if let Some(event) = event {
        store::save_user(tx, &user).await?;
        let mut happened = vec![event];
        if ends {
            happened.extend(end_sessions(tx, id, (None, None), SessionEnd::Deactivated).await?);
            store::revoke_tokens(tx, id, super::token_life()).await?;
        }
        announce(tx, id, happened).await?;
    }
    requests::record(tx, &[(key, Seen { digest, thing: id, version: user.version })]).await?;
    Ok(user)
}

/// What an earlier call with the same request did.
pub(super) async fn seen_before(
    tx: &mut PgConnection,
    key: Key,
    digest: [u8; 16],
) -> Result<Option<Seen>, Error> {
    match requests::find(tx, &[key]).await?.remove(&key) {
        Some(first) if first.digest != digest => Err(Refusal::ContentDiffers.into()),
        first => Ok(first),
    }
}

/// Whether an earlier call with the same request was carried out.
pub(super) async fn repeated(app: &App, key: Key, digest: [u8; 16]) -> Result<bool, Error> {
    let found = transact(&app.db, "find_request", move |tx| seen_before(tx, key, digest).boxed());
    Ok(found.await?.is_some())
}
