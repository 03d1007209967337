use uuid::Uuid;

use super::{AdjustmentReason, Line, Sku, State};

/// Something that others may care about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// A reservation changed.
    Reservation {
        id: Uuid,
        order_id: Uuid,
        version: i32,
        /// The state it came to.
        state: State,
        /// The pieces that moved; none if an expired hold was given up.
        lines: Vec<Line>,
    },
    /// The shelf of a SKU changed in a way that matters.
    Stock { sku: Sku, version: i32, news: News },
}

/// What is new about a SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Somebody corrected the books.
    Adjusted { adjustment: Uuid, quantity: i64, reason: AdjustmentReason, on_hand: i64 },
    /// The pieces on hand fell to the threshold or below.
    Low { on_hand: i64, threshold: i64 },
    /// The last piece on hand was taken.
    Depleted,
}
