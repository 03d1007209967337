//! SQL, in the caller's transaction; one statement per function.

pub mod ledger;
pub mod payments;
pub mod refunds;
