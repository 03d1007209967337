//! Who has which role.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use mesh_log::{
    requests::{self, Key, Seen},
    transact,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{App, Error, accounts::seen_before, announce, token_life};
use crate::{
    domain::{Refusal, UserEvent},
    store,
};

/// Asks for a role to be given to a person, or to be taken.
pub struct ChangeRole {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub user: Uuid,
    pub role: String,
    /// Whether it is given.
    pub give: bool,
}

/// All roles and permissions.
pub struct Known {
    /// Name, what it is for, and what it permits.
    pub roles: Vec<(String, String, Vec<String>)>,
    /// Name, and what it allows.
    pub permissions: Vec<(String, String)>,
}

/// Returns all roles and permissions.
pub async fn list_roles(app: &App) -> Result<Known, Error> {
    let pool = app.db.pool();
    let mut permits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (role, permission) in store::role_permissions(pool).await? {
        permits.entry(role).or_default().push(permission);
    }
    let roles = store::roles(pool).await?.into_iter();
    let roles = roles.map(|(role, what)| {
        let permissions = permits.remove(&role).unwrap_or_default();
        (role, what, permissions)
    });
    Ok(Known { roles: roles.collect(), permissions: store::permissions(pool).await? })
}

/// Returns the roles of a person.
pub async fn list_grants(app: &App, user: Uuid) -> Result<Vec<String>, Error> {
    store::get_user(app.db.pool(), user).await?.ok_or(Refusal::UserNotFound)?;
    Ok(store::granted(app.db.pool(), user).await?)
}

/// Gives or takes a role, unless an earlier call with this request did.
pub async fn change_role(app: &App, command: ChangeRole) -> Result<(), Error> {
    let label = if command.give { "grant_role" } else { "revoke_role" };
    transact(&app.db, label, move |tx| change(tx, command).boxed()).await?;
    app.revoked.notify_one();
    Ok(())
}

async fn change(tx: &mut PgConnection, command: ChangeRole) -> Result<(), Error> {
    let ChangeRole { key, digest, user, role, give } = command;
    store::alone(tx, key).await?;
    if seen_before(tx, key, digest).await?.is_some() {
        return Ok(());
    }
    let (found, _) = store::lock_user(tx, user).await?.ok_or(Refusal::UserNotFound)?;
    if !store::has_role(tx, &role).await? {
        return Err(Refusal::RoleNotFound.into());
    }
    let event = if give {
        found.check_active()?;
        let is_news = store::grant(tx, user, &role).await?;
        is_news.then_some(UserEvent::RoleGranted { role })
    } else if store::revoke(tx, user, &role).await? {
        // Tokens that name it must not outlive it.
        store::revoke_tokens(tx, user, token_life()).await?;
        Some(UserEvent::RoleRevoked { role })
    } else {
        None
    };
    announce(tx, user, event.into_iter().collect()).await?;
    requests::record(tx, &[(key, Seen { digest, thing: user, version: 0 })]).await?;
    Ok(())
}
