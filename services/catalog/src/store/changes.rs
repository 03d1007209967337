//! Writes `products`, and reads what they were.

use mesh_log::Traced as _;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    digest,
    products::{price, product, state},
    unreadable,
};
use crate::domain::Product;

/// Saves a new product. Returns false if its id or its SKU is taken; waits for whoever is taking one.
pub async fn insert_product(
    tx: &mut PgConnection,
    product: &Product,
    digest: [u8; 16],
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO products (product_id, sku, name, description, currency, price_minor,
                               category_id, state, version, digest, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT DO NOTHING",
    )
    .bind(product.id)
    .bind(product.sku.as_str())
    .bind(&product.name)
    .bind(&product.description)
    .bind(product.price.currency.as_str())
    .bind(product.price.minor)
    .bind(product.category)
    .bind(product.state.as_str())
    .bind(product.version)
    .bind(digest)
    .bind(product.created)
    .bind(product.updated)
    .execute(tx)
    .traced("INSERT products")
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns the product with this id, and the digest of the request that made it.
pub async fn made_product(
    tx: &mut PgConnection,
    id: Uuid,
) -> sqlx::Result<Option<(Product, Option<[u8; 16]>)>> {
    let row = sqlx::query(
        "SELECT sku, product_id, name, description, currency, price_minor, category_id, state,
                version, created_at, updated_at, digest
         FROM products WHERE product_id = $1",
    )
    .bind(id)
    .fetch_optional(tx)
    .traced("SELECT products")
    .await?;
    row.map(|row| Ok((product(&row)?, digest(&row)?))).transpose()
}

/// Locks the product with this SKU. Returns it, and the database's time.
pub async fn lock_product(
    tx: &mut PgConnection,
    sku: &str,
) -> sqlx::Result<Option<(Product, OffsetDateTime)>> {
    let row = sqlx::query(
        "SELECT sku, product_id, name, description, currency, price_minor, category_id, state,
                version, created_at, updated_at, clock_timestamp() AS now
         FROM products WHERE sku = $1 FOR UPDATE",
    )
    .bind(sku)
    .fetch_optional(tx)
    .traced("SELECT products")
    .await?;
    row.map(|row| Ok((product(&row)?, row.try_get("now")?))).transpose()
}

/// Writes a product that was changed, and keeps what it was.
pub async fn save_product(tx: &mut PgConnection, product: &Product) -> sqlx::Result<()> {
    sqlx::query(
        "WITH former AS (
           INSERT INTO former_products (product_id, version, name, description, currency,
                                        price_minor, category_id, state, updated_at)
           SELECT product_id, version, name, description, currency, price_minor, category_id,
                  state, updated_at
           FROM products WHERE sku = $1
         )
         UPDATE products SET name = $2, description = $3, currency = $4, price_minor = $5,
                             category_id = $6, state = $7, version = $8, updated_at = $9
         WHERE sku = $1",
    )
    .bind(product.sku.as_str())
    .bind(&product.name)
    .bind(&product.description)
    .bind(product.price.currency.as_str())
    .bind(product.price.minor)
    .bind(product.category)
    .bind(product.state.as_str())
    .bind(product.version)
    .bind(product.updated)
    .execute(tx)
    .traced("UPDATE products")
    .await?;
    Ok(())
}

/// Returns the product with this id as it was at `version`.
pub async fn product_at(tx: &mut PgConnection, id: Uuid, version: i32) -> sqlx::Result<Product> {
    let (now, _) = made_product(&mut *tx, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    if now.version == version {
        return Ok(now);
    }
    let row = sqlx::query(
        "SELECT name, description, currency, price_minor, category_id, state, updated_at
         FROM former_products WHERE product_id = $1 AND version = $2",
    )
    .bind(id)
    .bind(version)
    .fetch_optional(tx)
    .traced("SELECT former_products")
    .await?
    .ok_or_else(|| unreadable("a version of the product"))?;
    Ok(Product {
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        price: price(&row)?,
        category: row.try_get("category_id")?,
        state: state(&row)?,
        version,
        updated: row.try_get("updated_at")?,
        ..now
    })
}
