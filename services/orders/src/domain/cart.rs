//! What a customer is about to buy.

use uuid::Uuid;

/// A customer's cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cart {
    pub customer: Uuid,
    /// Grows with every change, and never starts again.
    pub version: i64,
    pub lines: Vec<CartLine>,
    /// The order that was placed with this version.
    pub taken_by: Option<Uuid>,
}

/// So many pieces of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartLine {
    pub sku: String,
    pub quantity: i64,
}

/// Why a cart cannot be changed or ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CartRefusal {
    #[error("the cart was changed, or another order has taken it")]
    Changed,
    #[error("the cart is empty")]
    Empty,
}

impl Cart {
    /// The cart of a customer who never put anything in.
    pub fn empty(customer: Uuid) -> Self {
        Self { customer, version: 0, lines: Vec::new(), taken_by: None }
    }

    /// Replaces the lines; `seen` is the version that the caller knows, if that matters to them.
    pub fn set(&mut self, lines: Vec<CartLine>, seen: Option<i64>) -> Result<(), CartRefusal> {
        if seen.is_some_and(|seen| seen != self.version) {
            return Err(CartRefusal::Changed);
        }
        self.version += 1;
        self.lines = lines;
        self.taken_by = None;
        Ok(())
    }

    /// The lines, if `order` may be placed with version `seen` of the cart.
    pub fn take(&self, order: Uuid, seen: i64) -> Result<&[CartLine], CartRefusal> {
        if self.version != seen || self.taken_by.is_some_and(|taker| taker != order) {
            return Err(CartRefusal::Changed);
        }
        if self.lines.is_empty() {
            return Err(CartRefusal::Empty);
        }
        Ok(&self.lines)
    }
}
