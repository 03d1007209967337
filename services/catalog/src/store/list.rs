//! Lists products, always by an index.

use mesh_log::{Pool, Traced as _};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::products::product;
use crate::domain::{Product, Sku, State};

/// Which products are listed, and where the page begins; `None` lets all pass.
pub struct List {
    pub category: Option<Uuid>,
    pub state: Option<State>,
    /// SKU of the last product of the page before.
    pub after: Option<Sku>,
}

/// Returns at most `limit` products in the order of their SKUs.
pub async fn list(db: &Pool, list: &List, limit: usize) -> sqlx::Result<Vec<Product>> {
    // Four texts at most, so each is planned once, for the index that serves its filter.
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT sku, product_id, name, description, currency, price_minor, category_id, state,
                version, created_at, updated_at
         FROM products WHERE sku > ",
    );
    query.push_bind(list.after.as_ref().map_or("", Sku::as_str));
    if let Some(category) = list.category {
        query.push(" AND category_id = ").push_bind(category);
    }
    if let Some(state) = list.state {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    query.push(" ORDER BY sku LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let found = query.build().fetch_all(&mut *db.read().await?).traced("SELECT products").await?;
    found.iter().map(product).collect()
}
