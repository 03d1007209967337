//! Changes of categories. Rare, so each has a transaction of its own.

use futures::FutureExt as _;
use mesh_log::{
    Database,
    requests::{self, Key, Seen},
    transact,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{Category, Named, Refusal, Slug},
    store,
};

/// Asks for a category.
pub struct CreateCategory {
    /// The request's id, which becomes the category's.
    pub id: Uuid,
    pub slug: Slug,
    pub name: String,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
}

/// Asks for a category to be called otherwise.
pub struct UpdateCategory {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub named: Named,
    /// The version that the caller saw, if that matters.
    pub seen: Option<i32>,
    pub name: String,
}

/// Makes a category, or returns the one that an earlier call with this request made, as it was then.
pub async fn create_category(db: &Database, command: CreateCategory) -> Result<Category, Error> {
    transact(db, "create_category", move |tx| create(tx, command).boxed()).await
}

/// Renames a category, or returns what an earlier call with this request made of it.
pub async fn update_category(db: &Database, command: UpdateCategory) -> Result<Category, Error> {
    transact(db, "update_category", move |tx| update(tx, command).boxed()).await
}

async fn create(tx: &mut PgConnection, command: CreateCategory) -> Result<Category, Error> {
    if let Some(first) = created(tx, &command).await? {
        return Ok(first);
    }
    let now = store::now(tx).await?;
    let category = Category {
        id: command.id,
        slug: command.slug.clone(),
        name: command.name.clone(),
        version: 1,
        created: now,
        updated: now,
    };
    if store::insert_category(tx, &category, command.digest).await? {
        return Ok(category);
    }
    // The same request at the same time, or somebody else's slug.
    created(tx, &command).await?.ok_or_else(|| Refusal::SlugTaken.into())
}

/// The category that an earlier call with the same request made.
async fn created(
    tx: &mut PgConnection,
    command: &CreateCategory,
) -> Result<Option<Category>, Error> {
    match store::made_category(tx, command.id).await? {
        None => Ok(None),
        Some((_, digest)) if digest != Some(command.digest) => Err(Refusal::ContentDiffers.into()),
        Some(_) => Ok(Some(store::category_at(tx, command.id, 1).await?)),
    }
}

async fn update(tx: &mut PgConnection, command: UpdateCategory) -> Result<Category, Error> {
    let UpdateCategory { key, digest, named, seen, name } = command;
    store::alone(tx, key).await?;
    if let Some(first) = requests::find(tx, &[key]).await?.remove(&key) {
        if first.digest != digest {
            return Err(Refusal::ContentDiffers.into());
        }
        return Ok(store::category_at(tx, first.thing, first.version).await?);
    }
    let found = store::lock_category(tx, &named).await?;
    let (mut category, now) = found.ok_or_else(|| named.not_found())?;
    category.check(seen)?;
    if category.rename(name, now) {
        store::save_category(tx, &category).await?;
    }
    let seen = Seen { digest, thing: category.id, version: category.version };
    requests::record(tx, &[(key, seen)]).await?;
    Ok(category)
}
