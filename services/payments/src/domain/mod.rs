//! What becomes of a payment, and what the ledger says about it. Pure: no clock, no database.

mod call;
mod ledger;
mod payment;
mod refusal;

pub use call::{Answer, Call, Fact};
pub use ledger::{Posting, postings};
pub use payment::{Payment, Refund, State, Terms};
pub use refusal::Refusal;

#[cfg(test)]
mod model;
