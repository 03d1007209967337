use time::OffsetDateTime;
use uuid::Uuid;

use super::{AdjustmentReason, Bucket, Sku};

/// Pieces that went from one bucket to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    pub sku: Sku,
    pub from: Bucket,
    pub to: Bucket,
    pub quantity: i64,
    pub cause: Cause,
}

/// What made pieces move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A supplier brought them.
    Delivery(Uuid),
    /// The books were brought in line with the shelf.
    Adjustment(Uuid),
    /// An order.
    Reservation { id: Uuid, order_id: Option<Uuid> },
}

/// A movement as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Grows in the order of the commits among the movements of one SKU.
    pub id: i64,
    pub at: OffsetDateTime,
    pub sku: Sku,
    pub from: Bucket,
    pub to: Bucket,
    pub quantity: i64,
    pub reservation: Option<Uuid>,
    pub order_id: Option<Uuid>,
    pub delivery: Option<Uuid>,
    pub adjustment: Option<(Uuid, AdjustmentReason, String)>,
}

/// Which movements, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementsOf {
    pub what: Subject,
    pub oldest_first: bool,
}

/// Whose movements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Sku(Sku),
    Order(Uuid),
    SkuOfOrder(Sku, Uuid),
}
