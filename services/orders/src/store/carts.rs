//! Carts.

use std::collections::HashMap;

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{
    Traced as _, Work,
    requests::{Key, Seen},
    returned,
};
use sqlx::PgConnection;
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

/// Reads carts by their customers; those that are read at the same time share a statement.
pub struct ReadCarts;

impl Work for ReadCarts {
    type Command = Uuid;
    /// The cart and when it was changed; none if there never was one.
    type Outcome = Option<(Cart, OffsetDateTime)>;

    const ONE_STATEMENT: bool = true;
    const SUMMARY: &'static str = "SELECT carts";
    const WRITES: bool = false;

    fn label(_: &Uuid) -> &'static str {
        "read_cart"
    }

    fn apply<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        customers: &'c [Uuid],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>> {
        async move {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT customer_id, version, lines, taken_by, updated_at, now()
                 FROM carts WHERE customer_id = ANY($1)",
            )
            .bind(customers)
            .fetch_all(connection)
            .await?;
            returned(rows.len());
            let found: HashMap<_, _> = rows.iter().map(|row| (row.0, (cart(row), row.4))).collect();
            Ok(customers.iter().map(|customer| found.get(customer).cloned()).collect())
        }
        .boxed()
    }
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
    .traced("INSERT carts")
    .await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT customer_id, version, lines, taken_by, updated_at, now()
         FROM carts WHERE customer_id = ANY($1) ORDER BY customer_id FOR UPDATE",
    )
    .bind(customers)
    .fetch_all(tx)
    .traced("SELECT carts")
    .await?;
    Ok(rows.iter().map(|row| (row.0, LockedCart { cart: cart(row), now: row.5 })).collect())
}

/// A request that changed a cart, and what the cart held then, unless the request says so itself.
#[derive(Debug)]
pub struct CartDone {
    pub key: Key,
    pub seen: Seen,
    pub lines: Option<Vec<CartLine>>,
}

/// Writes carts and the keys of the requests that changed them, in one statement.
pub async fn save_carts(
    tx: &mut PgConnection,
    carts: &[&Cart],
    done: &[CartDone],
) -> sqlx::Result<()> {
    if carts.is_empty() {
        return Ok(());
    }
    let told: Vec<_> =
        done.iter().filter_map(|done| Some((done.key, done.lines.as_ref()?))).collect();
    sqlx::query(
        "WITH saved AS (
           UPDATE carts SET version = c.version, lines = c.lines, taken_by = c.taken_by,
                            updated_at = now()
           FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[])
                AS c(customer_id, version, lines, taken_by)
           WHERE carts.customer_id = c.customer_id
         ), told AS (
           INSERT INTO cart_answers (key, lines) SELECT * FROM unnest($9::uuid[], $10::text[])
         )
         INSERT INTO requests (key, digest, thing, version)
         SELECT * FROM unnest($5::uuid[], $6::bytea[], $7::uuid[], $8::int[])",
    )
    .bind(carts.iter().map(|cart| cart.customer).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| cart.version).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| to_text(&cart.lines)).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| cart.taken_by).collect::<Vec<_>>())
    .bind(done.iter().map(|done| done.key.as_uuid()).collect::<Vec<_>>())
    .bind(done.iter().map(|done| done.seen.digest.to_vec()).collect::<Vec<_>>())
    .bind(done.iter().map(|done| done.seen.thing).collect::<Vec<_>>())
    .bind(done.iter().map(|done| done.seen.version).collect::<Vec<_>>())
    .bind(told.iter().map(|(key, _)| key.as_uuid()).collect::<Vec<_>>())
    .bind(told.iter().map(|(_, lines)| to_text(lines)).collect::<Vec<_>>())
    .execute(tx)
    .traced("UPDATE carts")
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
    delete.bind(unused).execute(tx).traced("DELETE carts").await.map(drop)
}

/// When a request took effect, and what the cart held then, unless the request says so itself.
#[derive(Clone, Debug)]
pub struct CartOnce {
    pub at: OffsetDateTime,
    pub lines: Option<Vec<CartLine>>,
}

/// What the requests with these keys did.
pub async fn carts_once(
    tx: &mut PgConnection,
    keys: &[Key],
) -> sqlx::Result<HashMap<Key, CartOnce>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, OffsetDateTime, Option<String>)> = sqlx::query_as(
        "SELECT r.key, r.at, a.lines
         FROM requests r LEFT JOIN cart_answers a ON a.key = r.key WHERE r.key = ANY($1)",
    )
    .bind(keys.iter().map(|key| key.as_uuid()).collect::<Vec<_>>())
    .fetch_all(tx)
    .traced("SELECT requests")
    .await?;
    let found: HashMap<_, _> =
        rows.into_iter().map(|(key, at, lines)| (key, (at, lines))).collect();
    let once = |key: &Key| {
        let (at, lines) = found.get(&key.as_uuid())?;
        Some((*key, CartOnce { at: *at, lines: lines.as_deref().map(from_text) }))
    };
    Ok(keys.iter().filter_map(once).collect())
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
