//! SQL, in the caller's transaction.

mod save;
mod shipments;

pub use save::save;
pub use shipments::{Row, claim, get, lock};
