//! The connections that a service's reads and closures share.
//!
//! Three things can go wrong with a plain pool under deadlines, and do not with this one. A caller
//! who gives up while a transaction begins leaves a connection inside it (sqlx 4385): here only
//! [`transact`](crate::transact) and [`Pool::read`] begin one, and both end it whatever becomes of
//! their callers. A connection whose peer is silent is waited for without end, and its place is lost
//! (sqlx 4349): here it is given up. A caller who gives up while a connection is being made takes the
//! attempt along: here the attempt goes on, for the next one.

mod connection;
mod executor;
mod gauges;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mesh_runtime::deadline;
use sqlx::{
    PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, timeout_at};

use crate::{database::is_connection_lost, limits};
pub use connection::Connection;
pub(crate) use gauges::measure;

/// How long a connection may take to make, and how long callers without a deadline wait for one.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a caller waits while every connection is in use: a pool that is too small for its callers
/// says so before they have spent their time on it.
const FULL_LIMIT: Duration = Duration::from_millis(250);
/// How many connections are tried before the database counts as unreachable.
const ATTEMPTS: usize = 3;

/// A service's connections. Cheap to clone.
///
/// `&Pool` is an [`Executor`](sqlx::Executor): `query.fetch_all(&pool)` takes a connection for one
/// statement, and ends at the current call's deadline ([`mesh_runtime::deadline`]). Rows are collected
/// before the first is handed out, so that nobody reads slowly on a connection. It is meant for reads:
/// of a change that was sent when the deadline passed nobody knows whether it took effect.
///
/// Without a deadline a statement has what the server allows any, 10 s.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: PgPool,
    /// How many connections somebody has.
    used: Arc<AtomicU32>,
}

impl Pool {
    /// At most `size` connections, made when they are wanted.
    pub(crate) fn new(options: PgConnectOptions, size: u32) -> Self {
        let inner = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(CONNECT_LIMIT)
            // Costs a round trip each time; a connection that died fails its next caller instead.
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Self { inner, used: Arc::default() }
    }

    /// Takes a connection for several statements, each in a transaction of its own.
    ///
    /// Waits at most half of what remains of the current call, then fails as expired; while all
    /// connections are in use, at most 250 ms, then fails with [`sqlx::Error::PoolTimedOut`], which
    /// [`SubmitError`](crate::SubmitError) takes for `POOL_EXHAUSTED`. A connection that cannot be
    /// made is no such case: the database is away. Costs no round trip. The statements are ended by
    /// whoever drops the caller at its deadline; see [`read`](Self::read) for long ones.
    pub async fn acquire(&self) -> sqlx::Result<Connection> {
        let taken = self.take().await;
        let connection = taken.map_err(|error| match error {
            // There was a place for a connection, and none came to be in it.
            sqlx::Error::PoolTimedOut if !self.is_used_up() => limits::silent(),
            error => error,
        })?;
        Ok(Connection::new(connection, Used::one_more(&self.used)))
    }

    /// Takes a connection for reads that can take long, such as searches and lists: the server ends
    /// each of its statements when the current call's time is over.
    ///
    /// The connection is in a read-only transaction. Costs one round trip; none where the call has
    /// more time than the server allows any statement, or no deadline.
    pub async fn read(&self) -> sqlx::Result<Connection> {
        match limits::statement_timeout() {
            Some(_) => self.begin("BEGIN READ ONLY").await,
            None => self.acquire().await,
        }
    }

    /// How many connections there are, in use or idle.
    pub fn size(&self) -> u32 {
        self.inner.size()
    }

    /// How many connections nobody uses.
    pub fn idle(&self) -> usize {
        self.inner.num_idle()
    }

    /// Where connections are made from now on.
    pub(crate) fn set_connect_options(&self, options: PgConnectOptions) {
        self.inner.set_connect_options(options);
    }

    /// Takes a connection and begins a transaction on it, whose statements the server ends when the
    /// current call's time is over. One round trip for both.
    pub(crate) async fn begin(&self, how: &str) -> sqlx::Result<Connection> {
        let mut attempt = 1;
        loop {
            let mut connection = self.acquire().await?;
            match connection.begin(how, limits::statement_timeout()).await {
                Ok(()) => return Ok(connection),
                Err(error) => {
                    connection.give_up();
                    // The pool may hold connections that the server has closed since.
                    if !is_connection_lost(&error) || attempt == ATTEMPTS {
                        // No matter how far it came: an empty transaction has no effect.
                        let passed = limits::deadline_passed(&error).is_some();
                        return Err(if passed { limits::expired() } else { error });
                    }
                    attempt += 1;
                }
            }
        }
    }

    async fn take(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        let deadline = deadline::current();
        let begun = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= begun) {
            return Err(limits::expired());
        }
        if let Some(connection) = self.inner.try_acquire() {
            return Ok(connection);
        }
        let Some(deadline) = deadline else { return self.inner.acquire().await };
        let half = begun + (deadline - begun) / 2;
        if self.is_full() {
            return self.wait(self.inner.acquire(), half).await;
        }
        // A connection is made by whoever waits for it: in a task of its own it outlasts the caller.
        // Those who only queue do not need one, and would be served after they have gone.
        let attempt = tokio::spawn(self.inner.acquire());
        let attempt = async { attempt.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)) };
        self.wait(attempt, half).await
    }

    async fn wait<T>(
        &self,
        acquiring: impl Future<Output = sqlx::Result<T>>,
        end: Instant,
    ) -> sqlx::Result<T> {
        let mut acquiring = std::pin::pin!(acquiring);
        loop {
            let full = Instant::now() + FULL_LIMIT;
            match timeout_at(full.min(end), &mut acquiring).await {
                Ok(acquired) => return acquired,
                Err(_) if end <= full => return Err(limits::expired()),
                Err(_) if self.is_used_up() => return Err(sqlx::Error::PoolTimedOut),
                Err(_) => (),
            }
        }
    }

    /// Whether no connection more is made: all are there, or being made.
    fn is_full(&self) -> bool {
        self.inner.size() >= self.inner.options().get_max_connections()
    }

    /// Whether somebody has every connection that there may be.
    fn is_used_up(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.inner.options().get_max_connections()
    }
}

/// Counts a connection among those that somebody has, until it is dropped.
#[derive(Debug)]
struct Used(Arc<AtomicU32>);

impl Used {
    fn one_more(used: &Arc<AtomicU32>) -> Self {
        used.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(used))
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
