//! What payments does, without the wire.

mod payments;
mod sweeper;
mod writer;

use mesh_log::SubmitError;

pub use payments::Payments;
pub use writer::{Action, Command, Writer};

use crate::{domain::Refusal, processor::Unsettled};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The intent is recorded; its outcome will be.
    #[error("the card processor's answer is not known yet")]
    OutcomeUnknown,
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("the database is unavailable")]
    Database(#[from] sqlx::Error),
}

impl From<Unsettled> for Error {
    fn from(unsettled: Unsettled) -> Self {
        match unsettled {
            Unsettled::OutcomeUnknown => Self::OutcomeUnknown,
            Unsettled::RefundRefused => Refusal::RefundRefused.into(),
        }
    }
}
