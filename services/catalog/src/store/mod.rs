//! SQL.

mod categories;
mod changes;
mod list;
mod products;
mod search;

use mesh_log::{Traced as _, requests::Key};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

pub use categories::{
    category_at, category_of, get_category, has_category, insert_category, list_categories,
    lock_category, made_category, save_category,
};
pub use changes::{insert_product, lock_product, made_product, product_at, save_product};
pub use list::{List, list};
pub use products::ReadProducts;
pub use search::{Search, index, search};

/// Waits until no other transaction handles this request; so a request that comes twice at once,
/// even with other content, finds what the first did.
pub async fn alone(tx: &mut PgConnection, key: Key) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(key.as_uuid().to_string())
        .execute(tx)
        .traced("SELECT pg_advisory_xact_lock")
        .await?;
    Ok(())
}

/// The database's time.
pub async fn now(tx: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    let now = sqlx::query_scalar("SELECT clock_timestamp()");
    now.fetch_one(tx).traced_one("SELECT clock_timestamp").await
}

/// The digest of the request that made the thing; none if no request did.
fn digest(row: &PgRow) -> sqlx::Result<Option<[u8; 16]>> {
    let digest: Option<Vec<u8>> = row.try_get("digest")?;
    let digest = digest.map(<[u8; 16]>::try_from).transpose();
    digest.map_err(|_| unreadable("a digest"))
}

fn unreadable(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("not {what}").into())
}
