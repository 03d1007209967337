//! Reads `products`, always by its key.

use shop::money::{Currency, Money};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use crate::domain::{Product, Sku};

/// Returns the product with this SKU.
pub async fn get(db: &PgPool, sku: &Sku) -> sqlx::Result<Option<Product>> {
    let found = sqlx::query(
        "SELECT sku, product_id, name, description, currency, price_minor, created_at
         FROM products WHERE sku = $1",
    )
    .bind(sku.as_str())
    .fetch_optional(db)
    .await?;
    found.as_ref().map(product).transpose()
}

/// Returns those of `skus` that are sold, in no order.
pub async fn get_all(db: &PgPool, skus: &[Sku]) -> sqlx::Result<Vec<Product>> {
    let found = sqlx::query(
        "SELECT sku, product_id, name, description, currency, price_minor, created_at
         FROM products WHERE sku = ANY($1)",
    )
    .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    found.iter().map(product).collect()
}

/// Returns at most `limit` products in the order of their SKUs, beginning behind `after`.
pub async fn list(db: &PgPool, after: Option<&Sku>, limit: usize) -> sqlx::Result<Vec<Product>> {
    let found = sqlx::query(
        "SELECT sku, product_id, name, description, currency, price_minor, created_at
         FROM products WHERE sku > $1 ORDER BY sku LIMIT $2",
    )
    .bind(after.map_or("", Sku::as_str))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await?;
    found.iter().map(product).collect()
}

fn product(row: &PgRow) -> sqlx::Result<Product> {
    let unreadable = |what: &str| sqlx::Error::Decode(format!("not {what}").into());
    let currency = Currency::parse(row.try_get("currency")?);
    let currency = currency.ok_or_else(|| unreadable("a currency"))?;
    Ok(Product {
        id: row.try_get("product_id")?,
        sku: Sku::parse(row.try_get("sku")?).ok_or_else(|| unreadable("a SKU"))?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        price: Money::new(currency, row.try_get("price_minor")?),
        created: row.try_get("created_at")?,
    })
}
