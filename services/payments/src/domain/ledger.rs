//! The ledger: what a fact moves from one account to another.
//!
//! `customer` is what customers gave (negative) and have back, `held` is reserved on their cards,
//! `shop` is what the shop has taken and not returned.

use shop::money::Money;

use super::Fact;

const CUSTOMER: &str = "customer";
const HELD: &str = "held";
const SHOP: &str = "shop";

/// One side of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub account: &'static str,
    pub amount: Money,
}

/// The two sides of what a fact moves, which sum to zero; none if it moves nothing.
pub fn postings(fact: &Fact) -> Option<[Posting; 2]> {
    let (from, to, amount) = match fact {
        Fact::Authorized { amount } => (CUSTOMER, HELD, *amount),
        Fact::Captured { amount, was_held: true } => (HELD, SHOP, *amount),
        Fact::Captured { amount, was_held: false } => (CUSTOMER, SHOP, *amount),
        Fact::Voided { amount } => (HELD, CUSTOMER, *amount),
        Fact::Refunded { amount } => (SHOP, CUSTOMER, *amount),
        Fact::Declined { .. } => return None,
    };
    let taken = Money { minor: -amount.minor, ..amount };
    Some([Posting { account: from, amount: taken }, Posting { account: to, amount }])
}
