//! The ledger: what a fact moves from one account to another.
//!
//! `customer` is what customers gave (negative) and have back, `held` is reserved on their cards,
//! `shop` is what the shop has taken and not returned.

use shop::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Fact;

/// Where money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    Customer,
    Held,
    Shop,
}

/// One side of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub account: Account,
    pub amount: Money,
}

/// A posting with the payment and the version that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub payment_id: Uuid,
    pub version: i32,
    pub posting: Posting,
    pub create_time: OffsetDateTime,
}

/// The sides of what a fact moves, each account at most once, which sum to zero; none if it moves
/// nothing.
pub fn postings(fact: &Fact) -> Vec<Posting> {
    let (amount, moved) = match fact {
        Fact::Authorized { amount } => (amount, [-amount.minor, amount.minor, 0]),
        // What was held and not taken goes back; what was taken without being held comes from it.
        Fact::Captured { amount, held } => (amount, [held - amount.minor, -held, amount.minor]),
        Fact::Voided { amount } => (amount, [amount.minor, -amount.minor, 0]),
        Fact::Refunded { amount, .. } => (amount, [amount.minor, 0, -amount.minor]),
        Fact::Declined { .. } => return Vec::new(),
    };
    let sides = [Account::Customer, Account::Held, Account::Shop].into_iter().zip(moved);
    sides
        .filter(|(_, minor)| *minor != 0)
        .map(|(account, minor)| Posting { account, amount: Money { minor, ..*amount } })
        .collect()
}
