//! Why a command was not carried out.

use std::sync::Arc;

use crate::limits::{self, Passed};

/// Why a command or a question that was handed to the database has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many commands wait already; nothing was done.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The caller's deadline passed, or too little was left of it; nothing was done.
    #[error("the deadline passed before anything was done")]
    Expired,
    /// The caller's deadline passed while the database worked; a change may have taken effect.
    #[error("the deadline passed while the database worked")]
    TimedOut,
    /// Every connection was in use for too long; nothing was done.
    #[error("every connection is in use")]
    PoolExhausted,
    /// The database did not answer, or refused; the command may have taken effect.
    #[error("the database is unavailable")]
    Database(#[source] Arc<sqlx::Error>),
    /// The service is ending; nothing was done.
    #[error("the service is ending")]
    Stopped,
}

impl SubmitError {
    /// Canonical gRPC code, as `google.rpc.Code` numbers it: RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED or
    /// UNAVAILABLE; INTERNAL for a row that cannot be read.
    pub fn code(&self) -> i32 {
        match self {
            Self::Expired | Self::TimedOut => 4,
            Self::Overloaded | Self::PoolExhausted => 8,
            Self::Database(error) if is_unreadable(error) => 13,
            Self::Database(_) | Self::Stopped => 14,
        }
    }

    /// Stable cause for callers.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expired | Self::TimedOut => "DEADLINE_PASSED",
            Self::Overloaded => "OVERLOADED",
            Self::PoolExhausted => "POOL_EXHAUSTED",
            Self::Database(error) if is_unreadable(error) => "ROW_UNREADABLE",
            Self::Database(_) => "DATABASE_UNAVAILABLE",
            Self::Stopped => "SERVICE_STOPPING",
        }
    }
}

/// For errors of [`Pool`](crate::Pool) and [`transact`](crate::transact), in the task that the error
/// was met in: whether the server ended a statement for the caller's deadline is known only there.
impl From<sqlx::Error> for SubmitError {
    fn from(error: sqlx::Error) -> Self {
        match limits::deadline_passed(&error) {
            Some(Passed::Unchanged) => Self::Expired,
            Some(Passed::Sent) => Self::TimedOut,
            None if matches!(error, sqlx::Error::PoolTimedOut) => Self::PoolExhausted,
            None => Self::Database(Arc::new(error)),
        }
    }
}

fn is_unreadable(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}
