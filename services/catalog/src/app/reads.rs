//! Questions.

use mesh_log::{Gather, Pool, SubmitError};

use crate::{
    domain::{Category, Product, Sku, Slug},
    store::{self, List, Search},
};

/// Reads products together with other callers.
pub type Reading = Gather<store::ReadProducts>;

/// Products in the order in which they were asked for, and the SKUs that nobody sells.
pub struct Found {
    pub products: Vec<Product>,
    pub missing: Vec<Sku>,
}

/// Returns the product with this SKU, archived or not.
pub async fn get_product(read: &Reading, sku: &Sku) -> Result<Option<Product>, SubmitError> {
    Ok(read.submit(vec![sku.clone()]).await?.remove(sku))
}

/// Returns the products with these SKUs that can be ordered, of which each comes once. Costs a part
/// of a query that it shares with others who ask at this moment.
pub async fn batch_get_products(read: &Reading, skus: Vec<Sku>) -> Result<Found, SubmitError> {
    let mut by_sku = read.submit(skus.clone()).await?;
    let mut answer = Found { products: Vec::with_capacity(by_sku.len()), missing: Vec::new() };
    for sku in skus {
        match by_sku.remove(&sku) {
            Some(product) if product.is_sold() => answer.products.push(product),
            Some(_) | None => answer.missing.push(sku),
        }
    }
    Ok(answer)
}

/// Returns at most `size` products of a list, and whether there are more behind those.
pub async fn list_products(
    db: &Pool,
    list: &List,
    size: usize,
) -> sqlx::Result<(Vec<Product>, bool)> {
    Ok(cut(store::list(db, list, size + 1).await?, size))
}

/// Returns at most `size` products that the words find, each with its rank, and whether there are
/// more behind those.
pub async fn search_products(
    db: &Pool,
    search: &Search,
    size: usize,
) -> sqlx::Result<(Vec<(i64, Product)>, bool)> {
    Ok(cut(store::search(db, search, size + 1).await?, size))
}

/// Returns at most `size` categories behind `after`, and whether there are more behind those.
pub async fn list_categories(
    db: &Pool,
    after: Option<&Slug>,
    size: usize,
) -> sqlx::Result<(Vec<Category>, bool)> {
    Ok(cut(store::list_categories(db, after, size + 1).await?, size))
}

/// A page, and whether something comes behind it: one element more was asked for.
fn cut<T>(mut found: Vec<T>, size: usize) -> (Vec<T>, bool) {
    let more = found.len() > size;
    found.truncate(size);
    (found, more)
}
