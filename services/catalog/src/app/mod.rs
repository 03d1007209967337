//! What callers may ask for.

use std::collections::HashMap;

use sqlx::PgPool;

use crate::{
    domain::{Product, Sku},
    store,
};

/// Products in the order in which they were asked for, and the SKUs that nobody sells.
pub struct Found {
    pub products: Vec<Product>,
    pub missing: Vec<Sku>,
}

/// Returns the product with this SKU.
pub async fn get_product(db: &PgPool, sku: &Sku) -> sqlx::Result<Option<Product>> {
    store::get(db, sku).await
}

/// Returns the products with these SKUs, of which each comes once. Costs one query.
pub async fn batch_get_products(db: &PgPool, skus: Vec<Sku>) -> sqlx::Result<Found> {
    let found = store::get_all(db, &skus).await?;
    let mut by_sku: HashMap<_, _> =
        found.into_iter().map(|product| (product.sku.clone(), product)).collect();
    let mut answer = Found { products: Vec::with_capacity(by_sku.len()), missing: Vec::new() };
    for sku in skus {
        match by_sku.remove(&sku) {
            Some(product) => answer.products.push(product),
            None => answer.missing.push(sku),
        }
    }
    Ok(answer)
}

/// Returns at most `size` products behind `after`, and whether there are more behind those.
pub async fn list_products(
    db: &PgPool,
    after: Option<&Sku>,
    size: usize,
) -> sqlx::Result<(Vec<Product>, bool)> {
    let mut products = store::list(db, after, size + 1).await?;
    let more = products.len() > size;
    products.truncate(size);
    Ok((products, more))
}
