//! Personal data of orders in motion.

use mesh_log::Pool;
use uuid::Uuid;

/// What a checkout needs to know of a customer, for as long as it needs it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Private {
    /// Encoded `shop.common.v1.Address`.
    pub address: Option<Vec<u8>>,
    /// Stands for a card at the processor.
    pub card_token: Option<String>,
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Private(***)")
    }
}

/// The personal data of an order; empty where it was deleted.
pub async fn get_private(pool: &Pool, order: Uuid) -> sqlx::Result<Private> {
    let row: Option<(Option<Vec<u8>>, Option<String>)> =
        sqlx::query_as("SELECT address, card_token FROM order_private WHERE order_id = $1")
            .bind(order)
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|(address, card_token)| Private { address, card_token }).unwrap_or_default())
}
