//! Reads and writes `categories`.

use mesh_log::{Pool, Traced as _};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{digest, unreadable};
use crate::domain::{Category, Named, Slug};

/// Saves a new category. Returns false if its id or its slug is taken; waits for whoever is taking
/// one.
pub async fn insert_category(
    tx: &mut PgConnection,
    category: &Category,
    digest: [u8; 16],
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO categories (category_id, slug, name, version, digest, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT DO NOTHING",
    )
    .bind(category.id)
    .bind(category.slug.as_str())
    .bind(&category.name)
    .bind(category.version)
    .bind(digest)
    .bind(category.created)
    .bind(category.updated)
    .execute(tx)
    .traced("INSERT categories")
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns the category with this id, and the digest of the request that made it.
pub async fn made_category(
    tx: &mut PgConnection,
    id: Uuid,
) -> sqlx::Result<Option<(Category, Option<[u8; 16]>)>> {
    let row = sqlx::query(
        "SELECT category_id, slug, name, version, digest, created_at, updated_at
         FROM categories WHERE category_id = $1",
    )
    .bind(id)
    .fetch_optional(tx)
    .traced("SELECT categories")
    .await?;
    row.map(|row| Ok((category(&row)?, digest(&row)?))).transpose()
}

/// Locks the category of this name. Returns it, and the database's time.
pub async fn lock_category(
    tx: &mut PgConnection,
    named: &Named,
) -> sqlx::Result<Option<(Category, OffsetDateTime)>> {
    let found = match named {
        Named::Id(id) => sqlx::query(
            "SELECT category_id, slug, name, version, created_at, updated_at,
                    clock_timestamp() AS now
             FROM categories WHERE category_id = $1 FOR NO KEY UPDATE",
        )
        .bind(id),
        Named::Slug(slug) => sqlx::query(
            "SELECT category_id, slug, name, version, created_at, updated_at,
                    clock_timestamp() AS now
             FROM categories WHERE slug = $1 FOR NO KEY UPDATE",
        )
        .bind(slug.as_str()),
    };
    let row = found.fetch_optional(tx).traced("SELECT categories").await?;
    row.map(|row| Ok((category(&row)?, row.try_get("now")?))).transpose()
}

/// Writes a category that was renamed, and keeps what it was.
pub async fn save_category(tx: &mut PgConnection, category: &Category) -> sqlx::Result<()> {
    sqlx::query(
        "WITH former AS (
           INSERT INTO former_categories (category_id, version, name, updated_at)
           SELECT category_id, version, name, updated_at FROM categories WHERE category_id = $1
         )
         UPDATE categories SET name = $2, version = $3, updated_at = $4 WHERE category_id = $1",
    )
    .bind(category.id)
    .bind(&category.name)
    .bind(category.version)
    .bind(category.updated)
    .execute(tx)
    .traced("UPDATE categories")
    .await?;
    Ok(())
}

/// Returns the category with this id as it was at `version`.
pub async fn category_at(tx: &mut PgConnection, id: Uuid, version: i32) -> sqlx::Result<Category> {
    let (now, _) = made_category(&mut *tx, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    if now.version == version {
        return Ok(now);
    }
    let row = sqlx::query(
        "SELECT name, updated_at FROM former_categories WHERE category_id = $1 AND version = $2",
    )
    .bind(id)
    .bind(version)
    .fetch_optional(tx)
    .traced("SELECT former_categories")
    .await?
    .ok_or_else(|| unreadable("a version of the category"))?;
    let (name, updated) = (row.try_get("name")?, row.try_get("updated_at")?);
    Ok(Category { name, version, updated, ..now })
}

/// Whether there is a category with this id. There will be one from then on.
pub async fn has_category(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let found = sqlx::query("SELECT FROM categories WHERE category_id = $1").bind(id);
    Ok(found.fetch_optional(tx).traced("SELECT categories").await?.is_some())
}

/// Returns the category with this id.
pub async fn get_category(db: &Pool, id: Uuid) -> sqlx::Result<Option<Category>> {
    let row = sqlx::query(
        "SELECT category_id, slug, name, version, created_at, updated_at
         FROM categories WHERE category_id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(category).transpose()
}

/// Returns the category with this slug.
pub async fn category_of(db: &Pool, slug: &Slug) -> sqlx::Result<Option<Category>> {
    let row = sqlx::query(
        "SELECT category_id, slug, name, version, created_at, updated_at
         FROM categories WHERE slug = $1",
    )
    .bind(slug.as_str())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(category).transpose()
}

/// Returns at most `limit` categories in the order of their slugs, beginning behind `after`.
pub async fn list_categories(
    db: &Pool,
    after: Option<&Slug>,
    limit: usize,
) -> sqlx::Result<Vec<Category>> {
    let found = sqlx::query(
        "SELECT category_id, slug, name, version, created_at, updated_at
         FROM categories WHERE slug > $1 ORDER BY slug LIMIT $2",
    )
    .bind(after.map_or("", Slug::as_str))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await?;
    found.iter().map(category).collect()
}

fn category(row: &PgRow) -> sqlx::Result<Category> {
    Ok(Category {
        id: row.try_get("category_id")?,
        slug: Slug::parse(row.try_get("slug")?).ok_or_else(|| unreadable("a slug"))?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        created: row.try_get("created_at")?,
        updated: row.try_get("updated_at")?,
    })
}
