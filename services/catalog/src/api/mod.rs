//! The contract, in each of its versions. Handlers translate; they decide nothing.

mod status;
mod v1;
mod v2;

use mesh_log::Database;

use crate::app::Reading;

/// Answers calls, of whichever version: what they ask for is the same.
#[derive(Clone)]
pub struct Api {
    pub db: Database,
    pub read: Reading,
}
