//! Carts.

use std::collections::HashMap;

use mesh_log::requests::{Key, Seen};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Cart, CartLine};

type Row = (Uuid, i64, String, Option<Uuid>, OffsetDateTime, OffsetDateTime);

/// A cart that is locked for the rest of the transaction, and the database's time.
#[derive(Clone, Debug)]
pub struct LockedCart {
    pub cart: Cart,
    pub now: OffsetDateTime,
}

/// The customer's cart and when it was changed; none if there never was one.
pub async fn get_cart(
    pool: &PgPool,
    customer: Uuid,
) -> sqlx::Result<Option<(Cart, OffsetDateTime)>> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT customer_id, version, lines, taken_by, updated_at, now()
         FROM carts WHERE customer_id = $1",
    )
    .bind(customer)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| (cart(&row), row.4)))
}

/// Makes the carts that are missing and locks all, in the order of their customers.
pub async fn lock_carts(
    tx: &mut PgConnection,
    customers: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, LockedCart>> {
    sqlx::query(
        "INSERT INTO carts (customer_id) SELECT c FROM unnest($1::uuid[]) AS c ORDER BY c
         ON CONFLICT DO NOTHING",
    )
    .bind(customers)
    .execute(&mut *tx)
    .await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT customer_id, version, lines, taken_by, updated_at, now()
         FROM carts WHERE customer_id = ANY($1) ORDER BY customer_id FOR UPDATE",
    )
    .bind(customers)
    .fetch_all(tx)
    .await?;
    Ok(rows.iter().map(|row| (row.0, LockedCart { cart: cart(row), now: row.5 })).collect())
}

/// Writes carts and the keys of the requests that changed them, in one statement.
pub async fn save_carts(
    tx: &mut PgConnection,
    carts: &[&Cart],
    keys: &[(Key, Seen)],
) -> sqlx::Result<()> {
    if carts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH saved AS (
           UPDATE carts SET version = c.version, lines = c.lines, taken_by = c.taken_by,
                            updated_at = now()
           FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[])
                AS c(customer_id, version, lines, taken_by)
           WHERE carts.customer_id = c.customer_id
         )
         INSERT INTO requests (key, digest, thing, version)
         SELECT * FROM unnest($5::uuid[], $6::bytea[], $7::uuid[], $8::int[])",
    )
    .bind(carts.iter().map(|cart| cart.customer).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| cart.version).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| to_text(&cart.lines)).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| cart.taken_by).collect::<Vec<_>>())
    .bind(keys.iter().map(|(key, _)| key.as_uuid()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, seen)| seen.digest.to_vec()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, seen)| seen.thing).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, seen)| seen.version).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes carts that were only made to be locked: version 0 is committed of none.
pub async fn drop_unused_carts(tx: &mut PgConnection, carts: &[&Cart]) -> sqlx::Result<()> {
    let unused = carts.iter().filter(|cart| cart.version == 0);
    let unused: Vec<_> = unused.map(|cart| cart.customer).collect();
    if unused.is_empty() {
        return Ok(());
    }
    let delete = sqlx::query("DELETE FROM carts WHERE customer_id = ANY($1) AND version = 0");
    delete.bind(unused).execute(tx).await.map(drop)
}

/// When the requests with these keys took effect.
pub async fn changed_at(
    tx: &mut PgConnection,
    keys: &[Key],
) -> sqlx::Result<HashMap<Uuid, OffsetDateTime>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<_> = sqlx::query_as("SELECT key, at FROM requests WHERE key = ANY($1)")
        .bind(keys.iter().map(|key| key.as_uuid()).collect::<Vec<_>>())
        .fetch_all(tx)
        .await?;
    Ok(rows.into_iter().collect())
}

fn cart((customer, version, lines, taken_by, ..): &Row) -> Cart {
    Cart { customer: *customer, version: *version, lines: from_text(lines), taken_by: *taken_by }
}

/// `SKU:quantity`, joined by commas; a SKU holds neither.
fn to_text(lines: &[CartLine]) -> String {
    let line = |line: &CartLine| format!("{}:{}", line.sku, line.quantity);
    lines.iter().map(line).collect::<Vec<_>>().join(",")
}

fn from_text(text: &str) -> Vec<CartLine> {
    let line = |line: &str| {
        let (sku, quantity) = line.split_once(':')?;
        Some(CartLine { sku: sku.to_owned(), quantity: quantity.parse().ok()? })
    };
    text.split(',').filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_table() {
        for lines in [vec![], vec![("A-1", 1)], vec![("A-1", 1), ("B", 1_000_000)]] {
            let line = |(sku, quantity): &(&str, i64)| CartLine {
                sku: (*sku).to_owned(),
                quantity: *quantity,
            };
            let lines: Vec<_> = lines.iter().map(line).collect();
            assert_eq!(from_text(&to_text(&lines)), lines);
        }
    }
}
