//! Why a command was not carried out.

use std::sync::Arc;

/// Why a command that was handed to a writer has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many commands wait already; nothing was done.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The caller's deadline passed before the command's turn; nothing was done.
    #[error("the deadline passed before the command's turn")]
    Expired,
    /// The database did not answer, or refused; the command may have taken effect.
    #[error("the database is unavailable")]
    Database(#[source] Arc<sqlx::Error>),
    /// The service is ending; nothing was done.
    #[error("the service is ending")]
    Stopped,
}
