//! One connection while somebody has it.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{AssertSqlSafe, PgConnection, Postgres, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

use super::Used;
use crate::{limits, statement};

/// How long a connection that is given back may take to answer what was asked last.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);
/// How long the end of a transaction may take.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A connection of a [`Pool`](super::Pool); goes back when dropped.
///
/// It goes back in order: outside of a transaction, and after the last statement was answered, even if
/// nobody waits for that any more. Where that takes longer than a second it is closed instead, and the
/// server ends what it was doing.
#[derive(Debug)]
pub struct Connection {
    /// There until dropped.
    inner: Option<PoolConnection<Postgres>>,
    /// A transaction was begun, or may have been.
    open: bool,
    /// There as long as `inner`.
    used: Option<Used>,
}

impl Connection {
    pub(super) fn new(inner: PoolConnection<Postgres>, used: Used) -> Self {
        Self { inner: Some(inner), open: false, used: Some(used) }
    }

    pub(super) async fn begin(&mut self, how: &str, limit: Option<Duration>) -> sqlx::Result<()> {
        self.open = true;
        let begin = match limit {
            // Rounded up: not before the deadline.
            Some(limit) => {
                let limit = limit.as_millis() + 1;
                format!("{how}; SET LOCAL statement_timeout = {limit}")
            }
            None => how.to_owned(),
        };
        let begin = sqlx::raw_sql(AssertSqlSafe(begin));
        statement("BEGIN", limits::within(begin.execute(&mut **self))).await.map(drop)
    }

    /// Commits what was done since [`begin`](Self::begin). After an error nobody knows whether it was.
    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        // Of a transaction in which a statement failed PostgreSQL makes a rollback without a word;
        // an empty statement before tells.
        self.end("COMMIT", "SELECT; COMMIT").await
    }

    /// Undoes what was done since [`begin`](Self::begin), also if this fails.
    pub(crate) async fn roll_back(self) {
        // Given up if it fails, and so undone by the server.
        let _ = self.end("ROLLBACK", "ROLLBACK").await;
    }

    async fn end(mut self, summary: &str, how: &'static str) -> sqlx::Result<()> {
        let ending = timeout(END_LIMIT, sqlx::raw_sql(how).execute(&mut *self));
        let ending = async { ending.await.unwrap_or_else(|_| Err(limits::silent())) };
        match statement(summary, ending).await {
            Ok(_) => {
                self.open = false;
                Ok(())
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    /// Closes the connection without a word to the server, which may not be there.
    pub(crate) fn give_up(mut self) {
        if let Some(inner) = self.inner.take() {
            drop(inner.detach());
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.inner.as_ref().expect("it is there until dropped")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.inner.as_mut().expect("it is there until dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(release(inner, self.open, self.used.take()))),
            Err(_) => drop(inner.detach()),
        }
    }
}

/// Gives a connection back, in the task that the pool would begin for it anyway.
async fn release(mut connection: PoolConnection<Postgres>, open: bool, _used: Option<Used>) {
    if open {
        let ending = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
        if !matches!(timeout(RELEASE_LIMIT, ending).await, Ok(Ok(_))) {
            drop(connection.detach());
            return;
        }
    }
    // Waits for the answer to what was asked last. Dropped, it closes the socket, and another
    // connection may be made in its place.
    if timeout(RELEASE_LIMIT, connection.return_to_pool()).await.is_err() {
        tracing::warn!("a connection was given up: the database was not done with it in time");
    }
}
