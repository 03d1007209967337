//! How long anything waits for the database, and the errors that say that it was too long.

use std::{io, time::Duration};

use mesh_runtime::deadline;
use tokio::time::{Instant, timeout_at};

/// What no statement of a service may take longer than.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(10);
/// When a statement has no answer although the server must have ended it: the connection is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(12);
/// What a statement has at least: less would end it for nothing, its connection is taken already.
const STATEMENT_FLOOR: Duration = Duration::from_millis(20);

/// The deadline passed; a change that was sent before may have taken effect.
#[derive(Debug, thiserror::Error)]
#[error("the deadline passed")]
struct DeadlinePassed {
    sent: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the database keeps silent")]
struct Silent;

/// The deadline passed before anything took effect.
pub(crate) fn expired() -> sqlx::Error {
    timed_out(DeadlinePassed { sent: false })
}

/// The database gave no answer within a limit that is not the caller's.
pub(crate) fn silent() -> sqlx::Error {
    timed_out(Silent)
}

fn timed_out(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why))
}

/// How a deadline ended the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Nothing took effect.
    Unchanged,
    /// A statement was under way.
    Sent,
}

/// Whether it was the current call's deadline that ended the work: here, or at the server, which had
/// been told what remained.
pub(crate) fn deadline_passed(error: &sqlx::Error) -> Option<Passed> {
    match error {
        sqlx::Error::Io(error) => {
            let passed = error.get_ref()?.downcast_ref::<DeadlinePassed>()?;
            Some(if passed.sent { Passed::Sent } else { Passed::Unchanged })
        }
        // `query_canceled`: the statement was undone.
        sqlx::Error::Database(error) if error.code().as_deref() == Some("57014") => {
            let deadline = deadline::current()?;
            (deadline <= Instant::now() + STATEMENT_FLOOR).then_some(Passed::Unchanged)
        }
        _ => None,
    }
}

/// What the statements of the current call may take, as the server is told; none if that is not less
/// than what it allows any.
pub(crate) fn statement_timeout() -> Option<Duration> {
    let remaining = deadline::current()?.saturating_duration_since(Instant::now());
    (remaining < STATEMENT_LIMIT).then(|| remaining.max(STATEMENT_FLOOR))
}

/// Waits for a statement until the current call's deadline, and never longer than a server that is
/// there needs to end it.
pub(crate) async fn within<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let silence = Instant::now() + SILENCE_LIMIT;
    let (end, error): (_, fn() -> sqlx::Error) = match deadline::current() {
        Some(deadline) if deadline < silence => {
            (deadline, || timed_out(DeadlinePassed { sent: true }))
        }
        _ => (silence, silent),
    };
    timeout_at(end, work).await.unwrap_or_else(|_| Err(error()))
}
