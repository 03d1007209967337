//! SQL, in the caller's transaction; one statement per function.

pub mod ledger;
pub mod payments;
pub mod refunds;

fn undecodable(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{column} holds what was never written").into())
}
