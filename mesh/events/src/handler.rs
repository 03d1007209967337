//! What a service does with an event.

use std::{error::Error, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{Database, SubmitError};
use sqlx::PgConnection;

use crate::{Claim, Incoming};

/// Applies events. Called for one event of a key at a time, for many keys at once.
pub trait Handler: Send + Sync + 'static {
    /// Applies `event`. The transaction of its effect must take `claim` (see [`Claim::take`]): that
    /// makes one effect of many deliveries. `Ok` without a claim says that there was nothing to do.
    fn handle(&self, event: Incoming, claim: Claim) -> BoxFuture<'_, Result<(), HandleError>>;
}

/// Why an event was not applied.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The event cannot be read, and never will be by this code: a dead letter at once.
    #[error("undecodable: {0}")]
    Undecodable(String),
    /// It failed; tried again a limited number of times, then a dead letter.
    #[error("{0}")]
    Failed(Box<dyn Error + Send + Sync>),
    /// Something that the handler needs is away; tried again until it is back.
    #[error("unavailable: {0}")]
    Unavailable(Box<dyn Error + Send + Sync>),
}

impl HandleError {
    /// A failure that counts: the event is a dead letter once it has failed too often.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// A failure that says nothing about the event.
    pub fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) { Self::unavailable(error) } else { Self::failed(error) }
    }
}

impl From<SubmitError> for HandleError {
    fn from(error: SubmitError) -> Self {
        match &error {
            SubmitError::Database(cause) if !is_away(cause) => Self::failed(error),
            _ => Self::unavailable(error),
        }
    }
}

impl From<prost::DecodeError> for HandleError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Undecodable(error.to_string())
    }
}

impl From<tonic::Status> for HandleError {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled => Self::unavailable(status),
            _ => Self::failed(status),
        }
    }
}

/// True if the error says that the database is away or busy, and nothing about the statement.
fn is_away(error: &sqlx::Error) -> bool {
    // 40 serialization and deadlock, 53 resources, 55P03 lock, 57014 a statement that took too long,
    // most often for a lock, 25P0x a session that was ended inside its transaction.
    let busy = ["40", "53", "55P03", "57014", "25P"];
    let is_busy = |code: &str| busy.iter().any(|it| code.starts_with(it));
    let code = error.as_database_error().and_then(|error| error.code());
    mesh_log::is_connection_lost(error) || code.is_some_and(|code| is_busy(&code))
}

/// A handler whose whole effect is one transaction: claims the event, then runs `apply`.
///
/// `apply` is not called for an event that was applied before. `label` names the transaction in
/// crash points and spans.
pub fn transactional<F>(db: &Database, label: &'static str, apply: F) -> impl Handler + use<F>
where
    F: for<'c> Fn(&'c mut PgConnection, &'c Incoming) -> BoxFuture<'c, Result<(), HandleError>>
        + Send
        + Sync
        + 'static,
{
    Transactional { db: db.clone(), label, apply: Arc::new(apply) }
}

struct Transactional<F> {
    db: Database,
    label: &'static str,
    apply: Arc<F>,
}

impl<F> Handler for Transactional<F>
where
    F: for<'c> Fn(&'c mut PgConnection, &'c Incoming) -> BoxFuture<'c, Result<(), HandleError>>
        + Send
        + Sync
        + 'static,
{
    fn handle(&self, event: Incoming, claim: Claim) -> BoxFuture<'_, Result<(), HandleError>> {
        let apply = Arc::clone(&self.apply);
        mesh_log::transact(&self.db, self.label, move |tx| claim_and_apply(tx, apply, event, claim))
            .boxed()
    }
}

fn claim_and_apply<F>(
    tx: &mut PgConnection,
    apply: Arc<F>,
    event: Incoming,
    claim: Claim,
) -> BoxFuture<'_, Result<(), HandleError>>
where
    F: for<'c> Fn(&'c mut PgConnection, &'c Incoming) -> BoxFuture<'c, Result<(), HandleError>>
        + Send
        + Sync
        + 'static,
{
    async move {
        if claim.take(tx).await? {
            apply(tx, &event).await?;
        }
        Ok(())
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_database_is_no_fault_of_the_event() {
        let away = HandleError::from(sqlx::Error::PoolTimedOut);
        let broken = HandleError::from(sqlx::Error::RowNotFound);

        assert!(matches!(away, HandleError::Unavailable(_)), "{away:?}");
        assert!(matches!(broken, HandleError::Failed(_)), "{broken:?}");
    }
}
