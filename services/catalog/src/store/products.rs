//! Reads `products`, always by its key.

use std::collections::{BTreeSet, HashMap};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{Work, returned};
use shop::money::{Currency, Money};
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::unreadable;
use crate::domain::{Product, Sku, State};

/// Reads products by their SKUs; those that are read at the same time share a statement.
pub struct ReadProducts;

impl Work for ReadProducts {
    type Command = Vec<Sku>;
    /// Those that exist, archived or not, by their SKUs.
    type Outcome = HashMap<Sku, Product>;

    const ONE_STATEMENT: bool = true;
    const SUMMARY: &'static str = "SELECT products";
    const WRITES: bool = false;

    fn label(_: &Vec<Sku>) -> &'static str {
        "read_products"
    }

    fn apply<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        wanted: &'c [Vec<Sku>],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>> {
        async move {
            let skus: BTreeSet<_> = wanted.iter().flatten().map(Sku::as_str).collect();
            let rows = sqlx::query(
                "SELECT sku, product_id, name, description, currency, price_minor, category_id,
                        state, version, created_at, updated_at
                 FROM products WHERE sku = ANY($1)",
            )
            .bind(skus.into_iter().collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
            returned(rows.len());
            let known: sqlx::Result<HashMap<Sku, Product>> =
                rows.iter().map(|row| product(row).map(|p| (p.sku.clone(), p))).collect();
            let known = known?;
            let found = |skus: &Vec<Sku>| {
                let found = skus.iter().filter_map(|sku| known.get_key_value(sku));
                found.map(|(sku, product)| (sku.clone(), product.clone())).collect()
            };
            Ok(wanted.iter().map(found).collect())
        }
        .boxed()
    }
}

/// Reads a row of `products` with all that a product is.
pub(super) fn product(row: &PgRow) -> sqlx::Result<Product> {
    Ok(Product {
        id: row.try_get("product_id")?,
        sku: Sku::parse(row.try_get("sku")?).ok_or_else(|| unreadable("a SKU"))?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        price: price(row)?,
        category: row.try_get("category_id")?,
        state: state(row)?,
        version: row.try_get("version")?,
        created: row.try_get("created_at")?,
        updated: row.try_get("updated_at")?,
    })
}

pub(super) fn price(row: &PgRow) -> sqlx::Result<Money> {
    let currency = Currency::parse(row.try_get("currency")?);
    let currency = currency.ok_or_else(|| unreadable("a currency"))?;
    Ok(Money::new(currency, row.try_get("price_minor")?))
}

pub(super) fn state(row: &PgRow) -> sqlx::Result<State> {
    match row.try_get("state")? {
        "ACTIVE" => Ok(State::Active),
        "ARCHIVED" => Ok(State::Archived),
        _ => Err(unreadable("a state of a product")),
    }
}
