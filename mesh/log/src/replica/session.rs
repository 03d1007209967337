//! The database session that a replica is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::limits;
use uuid::Uuid;

/// How long the session may keep silent before it counts as lost.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);

/// How many streams of a dead replica are taken over at a time.
const PART: i64 = 500;

/// What holders of leases ask of the session.
#[derive(Debug)]
pub(super) enum Request {
    /// Answer once `name` is ours, with the token that is cancelled when it no longer is.
    Lead { name: Arc<str>, answer: oneshot::Sender<CancellationToken> },
    /// Give `name` back, if it is still held by the session that `lost` belongs to.
    Release { name: Arc<str>, lost: CancellationToken },
}

/// One joined session. Dropping it ends every lease that it holds.
#[derive(Debug)]
pub(super) struct Session {
    id: Uuid,
    connection: PgConnection,
    held: HashMap<Arc<str>, CancellationToken>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.held.values().for_each(CancellationToken::cancel);
    }
}

impl Session {
    /// Connects, takes the lock that `id` stands for, and says so in `replicas`.
    pub(super) async fn open(options: &PgConnectOptions, id: Uuid) -> sqlx::Result<Self> {
        let options = options.clone().application_name(&id.to_string());
        let connection = within(options.connect()).await?;
        let mut session = Self { id, connection, held: HashMap::new() };
        // The lock first: a row without its lock is a dead replica.
        session.try_lock(lock_key(&id.to_string())).await?;
        let insert = sqlx::query("INSERT INTO replicas (id) VALUES ($1)").bind(id);
        within(insert.execute(&mut session.connection)).await?;
        Ok(session)
    }

    /// Touches `seen`; fails if the others have given this replica up.
    pub(super) async fn show_life(&mut self) -> sqlx::Result<()> {
        let touch = sqlx::query("UPDATE replicas SET seen = now() WHERE id = $1").bind(self.id);
        match within(touch.execute(&mut self.connection)).await?.rows_affected() {
            0 => Err(sqlx::Error::RowNotFound),
            _ => Ok(()),
        }
    }

    /// Ends the sessions of dead replicas and makes their streams ours. True if there were any.
    pub(super) async fn take_over_the_dead(&mut self) -> sqlx::Result<bool> {
        let others = sqlx::query_as::<_, (Uuid, bool)>(
            "SELECT id, seen < now() - interval '5 seconds' FROM replicas WHERE id <> $1",
        )
        .bind(self.id);
        let mut any = false;
        for (other, silent) in within(others.fetch_all(&mut self.connection)).await? {
            if silent {
                self.end_sessions(other).await?;
            }
            let lock = lock_key(&other.to_string());
            if self.try_lock(lock).await? {
                self.end_sessions(other).await?;
                any |= self.take_over(other).await?;
                self.unlock(lock).await?;
            }
        }
        Ok(any)
    }

    async fn end_sessions(&mut self, other: Uuid) -> sqlx::Result<()> {
        let end = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = $1 AND datname = current_database()
               AND usename = current_user AND pid <> pg_backend_pid()",
        )
        .bind(other.to_string());
        within(end.execute(&mut self.connection)).await.map(drop)
    }

    /// Makes the streams of a dead replica ours, part by part, however many there are: each part is a
    /// commit of its own, and whoever does this shows life in between. What somebody holds at the moment
    /// is left for the next time, and so is the dead one's row, which goes last. True if any became ours.
    async fn take_over(&mut self, other: Uuid) -> sqlx::Result<bool> {
        let mut streams = 0;
        loop {
            let take = sqlx::query(
                "WITH part AS MATERIALIZED (
                   SELECT id FROM streams WHERE awake_since IS NOT NULL AND owner = $2
                   LIMIT $3 FOR UPDATE SKIP LOCKED
                 )
                 UPDATE streams s SET owner = $1 FROM part WHERE s.id = part.id",
            );
            let take = take.bind(self.id).bind(other).bind(PART);
            match within(take.execute(&mut self.connection)).await?.rows_affected() {
                0 => break,
                taken => streams += taken,
            }
            self.show_life().await?;
        }
        let gone = sqlx::query(
            "DELETE FROM replicas WHERE id = $1
             AND NOT EXISTS (SELECT FROM streams WHERE awake_since IS NOT NULL AND owner = $1)",
        );
        let gone =
            within(gone.bind(other).execute(&mut self.connection)).await?.rows_affected() > 0;
        tracing::info!(replica = %self.id, dead = %other, streams, gone, "replica taken over");
        Ok(gone || streams > 0)
    }

    /// Serves one request; gives it back if somebody else holds the lease.
    pub(super) async fn serve(&mut self, request: Request) -> sqlx::Result<Option<Request>> {
        match request {
            Request::Lead { answer, .. } if answer.is_closed() => Ok(None),
            Request::Lead { name, answer } => {
                // Advisory locks are re-entrant: a second holder in this process must wait too.
                if self.held.contains_key(&name) || !self.try_lock(lock_key(&name)).await? {
                    return Ok(Some(Request::Lead { name, answer }));
                }
                let lost = CancellationToken::new();
                self.held.insert(Arc::clone(&name), lost.clone());
                if answer.send(lost).is_err() {
                    self.release(&name).await?;
                }
                Ok(None)
            }
            Request::Release { name, lost } => {
                // A lease of an earlier session has ended with it.
                if !lost.is_cancelled() {
                    self.release(&name).await?;
                }
                Ok(None)
            }
        }
    }

    async fn release(&mut self, name: &str) -> sqlx::Result<()> {
        if let Some(lost) = self.held.remove(name) {
            lost.cancel();
            self.unlock(lock_key(name)).await?;
        }
        Ok(())
    }

    async fn try_lock(&mut self, key: i64) -> sqlx::Result<bool> {
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key);
        within(lock.fetch_one(&mut self.connection)).await
    }

    async fn unlock(&mut self, key: i64) -> sqlx::Result<()> {
        let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(key);
        within(unlock.execute(&mut self.connection)).await.map(drop)
    }
}

/// A database that keeps silent is as good as gone.
async fn within<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(SILENCE_LIMIT, work).await.unwrap_or_else(|_| Err(limits::silent()))
}

/// The advisory lock that a name stands for: the first 8 bytes of its SHA-256.
fn lock_key(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("SHA-256 has 32 bytes"))
}
