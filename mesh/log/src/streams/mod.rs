//! Event-sourced streams: one row of state per stream, one log row per event.
//!
//! A [`Change`] is data: which stream, at which version, what happened, and the fold of it. Many
//! changes commit as one statement, each with its own [`Outcome`]: one whose version is not the
//! stream's is refused alone.

mod change;
mod commit;
mod fresh;
mod load;
mod watch;

pub use change::{Awake, Change, Companion, Outcome};
pub use load::{Recorded, Stored};
pub(crate) use watch::STREAMS;
pub use watch::{Subscription, Watchers};

use mesh_runtime::Service;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Database, Gather, SubmitError, gather::Work as _, statement};
use commit::Commit;
use load::{Load, LoadEvents};

/// Commits and loads the streams of one service. Cheap to clone.
#[derive(Debug)]
pub struct Streams<C: Companion = ()> {
    db: Database,
    gather: Gather<Commit<C>>,
    load: Gather<Load>,
    load_events: Gather<LoadEvents>,
}

impl<C: Companion> Clone for Streams<C> {
    fn clone(&self) -> Self {
        let Self { db, gather, load, load_events } = self;
        Self {
            db: db.clone(),
            gather: gather.clone(),
            load: load.clone(),
            load_events: load_events.clone(),
        }
    }
}

impl<C: Companion> Streams<C> {
    /// Starts the writer of the service's streams.
    pub fn start(db: &Database, service: &Service) -> Self {
        let gather = Gather::start(db, service, Commit::new(db.watchers().clone()));
        let load = Gather::start(db, service, Load);
        let load_events = Gather::start(db, service, LoadEvents);
        Self { db: db.clone(), gather, load, load_events }
    }

    /// Commits one change, together with what else is being committed at this moment.
    pub async fn commit(&self, change: Change<C>) -> Result<Outcome, SubmitError> {
        self.gather.submit(change).await
    }

    /// Commits one change in a transaction that the caller owns and has taken by
    /// [`transact`](crate::transact). Call [`Streams::announce`] once it is committed.
    pub async fn commit_in(
        &self,
        tx: &mut PgConnection,
        change: Change<C>,
    ) -> sqlx::Result<Outcome> {
        let change = std::slice::from_ref(&change);
        let committing = self.gather.work().apply(tx, change);
        Ok(statement(Commit::<C>::SUMMARY, committing).await?.remove(0))
    }

    /// Tells those who follow the stream that it has come to `version`.
    pub fn announce(&self, id: Uuid, version: i32) {
        self.db.watchers().notify(id, version);
    }

    /// The stream as it is now; none if it was never written. Costs a part of a round trip that it
    /// shares with others who load at this moment.
    pub async fn load(&self, id: Uuid) -> Result<Option<Stored>, SubmitError> {
        self.load.submit(id).await
    }

    /// The streams that are awake and driven by replica `owner`, or by nobody. Costs one round trip.
    pub async fn awake(&self, owner: Uuid) -> sqlx::Result<Vec<(Uuid, Stored)>> {
        load::awake(self.db.pool(), owner).await
    }

    /// Awake streams in the order in which they woke, after a place in it. Costs one round trip.
    pub async fn list_awake(
        &self,
        after: Option<(OffsetDateTime, Uuid)>,
        limit: i64,
    ) -> sqlx::Result<Vec<(Uuid, OffsetDateTime, Stored)>> {
        load::list_awake(self.db.pool(), after, limit).await
    }

    /// The stream as it is now, locked for the rest of the caller's transaction.
    pub async fn load_in(&self, tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Stored>> {
        load::locked(tx, id).await
    }

    /// The events of a stream after a version, oldest first. Costs what [`load`](Self::load) costs.
    pub async fn events(&self, id: Uuid, after: i32) -> Result<Vec<Recorded>, SubmitError> {
        self.load_events.submit((id, after)).await
    }

    /// The events after a version of a stream that is followed. What this process has committed since it
    /// is followed costs nothing; else it costs what [`events`](Self::events) costs.
    pub async fn followed_events(
        &self,
        stream: &Subscription,
        after: i32,
    ) -> Result<Vec<Recorded>, SubmitError> {
        match stream.fresh(after) {
            Some(events) => Ok(events),
            None => self.events(stream.id(), after).await,
        }
    }

    /// Follows a stream's version: tells of every public event soon, of others perhaps.
    pub fn watch(&self, id: Uuid) -> Subscription {
        self.db.watchers().subscribe(id)
    }

    /// The database that the streams live in.
    pub fn database(&self) -> &Database {
        &self.db
    }
}
