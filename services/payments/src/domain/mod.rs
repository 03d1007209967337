//! What becomes of a payment, and what the ledger says about it. Pure: no clock, no database.

mod call;
mod card_token;
mod ledger;
mod list;
mod payment;
mod refund;
mod refusal;

pub use call::{Answer, Call, Fact};
pub use card_token::CardToken;
pub use ledger::{Account, Entry, Posting, postings};
pub use list::{EntriesPage, PaymentsPage};
pub use payment::{Capture, Payment, State, Terms};
pub use refund::{Given, Refund};
pub use refusal::Refusal;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
