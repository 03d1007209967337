//! What payments does, without the wire.

mod payments;
mod read;
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
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}

impl From<Unsettled> for Error {
    fn from(unsettled: Unsettled) -> Self {
        match unsettled {
            Unsettled::OutcomeUnknown => Self::OutcomeUnknown,
            Unsettled::RefundRefused => Refusal::RefundRefused.into(),
        }
    }
}
