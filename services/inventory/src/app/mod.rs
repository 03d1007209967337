//! Use cases. Whatever changes the stock is a command that [`StockDesk`] hands in; commands that
//! come at the same time are decided together: load, decide each, save, announce, one commit.

mod batch;
mod desk;
mod expire_holds;
mod get;
mod list;

pub use batch::{Guard, StockWork};
pub use desk::StockDesk;
pub use expire_holds::expire_holds;
pub use get::{Found, batch_get_stock, get_reservation, get_stock};
pub use list::{list_movements, list_stock};

use mesh_log::SubmitError;

use crate::domain::Refusal;

/// Why a use case did not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}
