//! Changes of what is sold. Rare, so each has a transaction of its own.

use futures::FutureExt as _;
use mesh_log::{
    Database, append,
    requests::{self, Key, Seen},
    transact,
};
use shop::money::Money;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{Changes, Product, ProductEvent, Refusal, Sku, State},
    events, store,
};

/// Asks for a product to be sold.
pub struct CreateProduct {
    /// The request's id, which becomes the product's.
    pub id: Uuid,
    pub sku: Sku,
    pub name: String,
    pub description: String,
    pub price: Money,
    pub category: Option<Uuid>,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
}

/// Asks for a product to be another.
pub struct UpdateProduct {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub sku: Sku,
    /// The version that the caller saw, if that matters.
    pub seen: Option<i32>,
    pub changes: Changes,
}

/// Asks for the end of a sale.
pub struct ArchiveProduct {
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub sku: Sku,
    /// The version that the caller saw, if that matters.
    pub seen: Option<i32>,
}

/// What shall happen to a product that is there.
struct Change {
    key: Key,
    digest: [u8; 16],
    sku: Sku,
    seen: Option<i32>,
    what: What,
}

enum What {
    Update(Changes),
    Archive,
}

/// Begins to sell a product, or returns the one that an earlier call with this request made, as it
/// was then.
pub async fn create_product(db: &Database, command: CreateProduct) -> Result<Product, Error> {
    transact(db, "create_product", move |tx| create(tx, command).boxed()).await
}

/// Changes a product, or returns what an earlier call with this request made of it.
pub async fn update_product(db: &Database, command: UpdateProduct) -> Result<Product, Error> {
    let UpdateProduct { key, digest, sku, seen, changes } = command;
    let change = Change { key, digest, sku, seen, what: What::Update(changes) };
    transact(db, "update_product", move |tx| apply(tx, change).boxed()).await
}

/// Ends the sale of a product, or returns what an earlier call with this request made of it.
pub async fn archive_product(db: &Database, command: ArchiveProduct) -> Result<Product, Error> {
    let ArchiveProduct { key, digest, sku, seen } = command;
    let change = Change { key, digest, sku, seen, what: What::Archive };
    transact(db, "archive_product", move |tx| apply(tx, change).boxed()).await
}

async fn create(tx: &mut PgConnection, command: CreateProduct) -> Result<Product, Error> {
    if let Some(first) = created(tx, &command).await? {
        return Ok(first);
    }
    if let Some(category) = command.category {
        known(tx, category).await?;
    }
    let (id, digest) = (command.id, command.digest);
    let now = store::now(tx).await?;
    let product = Product {
        id,
        sku: command.sku.clone(),
        name: command.name.clone(),
        description: command.description.clone(),
        price: command.price,
        category: command.category,
        state: State::Active,
        version: 1,
        created: now,
        updated: now,
    };
    if !store::insert_product(tx, &product, digest).await? {
        // The same request at the same time, or somebody else's SKU.
        let first = created(tx, &command).await?;
        return first.ok_or_else(|| Refusal::SkuTaken.into());
    }
    store::index(tx, &product).await?;
    append(tx, id, 1, &[events::announce(&product, ProductEvent::Created)]).await?;
    Ok(product)
}

/// The product that an earlier call with the same request made.
async fn created(tx: &mut PgConnection, command: &CreateProduct) -> Result<Option<Product>, Error> {
    match store::made_product(tx, command.id).await? {
        None => Ok(None),
        Some((_, digest)) if digest != Some(command.digest) => Err(Refusal::ContentDiffers.into()),
        Some(_) => Ok(Some(store::product_at(tx, command.id, 1).await?)),
    }
}

async fn apply(tx: &mut PgConnection, change: Change) -> Result<Product, Error> {
    let Change { key, digest, sku, seen, what } = change;
    store::alone(tx, key).await?;
    if let Some(first) = requests::find(tx, &[key]).await?.remove(&key) {
        if first.digest != digest {
            return Err(Refusal::ContentDiffers.into());
        }
        return Ok(store::product_at(tx, first.thing, first.version).await?);
    }
    let found = store::lock_product(tx, sku.as_str()).await?;
    let (before, now) = found.ok_or_else(|| Refusal::ProductNotFound { sku: sku.into_string() })?;
    before.check(seen)?;
    let (after, event) = decide(&before, what, now)?;
    if let Some(event) = event {
        save(tx, &before, &after, event).await?;
    }
    requests::record(tx, &[(key, Seen { digest, thing: after.id, version: after.version })])
        .await?;
    Ok(after)
}

fn decide(
    before: &Product,
    what: What,
    now: OffsetDateTime,
) -> Result<(Product, Option<ProductEvent>), Refusal> {
    let mut after = before.clone();
    let event = match what {
        What::Update(changes) => after.update(changes, now)?,
        What::Archive => after.archive(now),
    };
    Ok((after, event))
}

async fn save(
    tx: &mut PgConnection,
    before: &Product,
    after: &Product,
    event: ProductEvent,
) -> Result<(), Error> {
    if let Some(category) = after.category.filter(|_| after.category != before.category) {
        known(tx, category).await?;
    }
    store::save_product(tx, after).await?;
    if (&after.name, &after.description) != (&before.name, &before.description) {
        store::index(tx, after).await?;
    }
    append(tx, after.id, after.version, &[events::announce(after, event)]).await?;
    Ok(())
}

async fn known(tx: &mut PgConnection, category: Uuid) -> Result<(), Error> {
    match store::has_category(tx, category).await? {
        true => Ok(()),
        false => Err(Refusal::CategoryUnknown.into()),
    }
}
