//! Use cases. Whatever changes the stock is a command that [`StockDesk`] hands in; commands that
//! come at the same time are decided together: load, decide each, save, announce, one commit.

mod batch;
mod desk;
mod expire_holds;
mod get;

pub use batch::{Guard, StockWork};
pub use desk::StockDesk;
pub use expire_holds::expire_holds;
pub use get::{get_reservation, get_stock};

use mesh_log::SubmitError;

use crate::domain::{Refusal, Sku};

/// Why a use case did not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no supplier ever delivered {sku}")]
    StockNotFound { sku: Sku },
    #[error("there is no such reservation")]
    ReservationNotFound,
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("the database is unavailable")]
    Database(#[from] sqlx::Error),
}
