//! What is given back of a payment.

use shop::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

/// An amount on its way back to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its id, and its key at the processor.
    pub id: Uuid,
    pub minor: i64,
}

/// A refund as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub id: Uuid,
    pub payment_id: Uuid,
    pub amount: Money,
    pub create_time: OffsetDateTime,
    pub is_done: bool,
    /// When it was known to be with the customer.
    pub complete_time: Option<OffsetDateTime>,
}

impl Given {
    /// The refund, if it is still on its way.
    pub fn pending(&self) -> Option<Refund> {
        (!self.is_done).then_some(Refund { id: self.id, minor: self.amount.minor })
    }
}
