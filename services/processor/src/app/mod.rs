//! What the processor does, without the wire.

mod charges;
mod tokenize_card;
mod writer;

use mesh_log::SubmitError;

pub use charges::Charges;
pub use tokenize_card::{Cards, TokenizeCard};
pub use writer::{Action, Command, Writer};

use crate::domain::Refusal;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The sandbox pretends that the answer was lost.
    #[error("no answer")]
    AnswerLost,
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}
