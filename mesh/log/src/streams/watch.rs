//! Tells when a stream changes, whoever changed it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_runtime::Service;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Recorded, fresh::Fresh};
use crate::Pool;

/// How soon a change that another process made is noticed.
const POLL: Duration = Duration::from_millis(200);

/// The version that each of some streams has come to.
pub(crate) const STREAMS: &str = "
    SELECT w.id, l.version
    FROM unnest($1::uuid[]) AS w(id), LATERAL
         (SELECT version FROM log WHERE key = w.id AND public ORDER BY version DESC LIMIT 1) l";

type Map = HashMap<Uuid, Followed>;

/// What is known of a stream that somebody follows.
#[derive(Debug)]
struct Followed {
    version: watch::Sender<i32>,
    /// What this process has done to it lately.
    fresh: Fresh,
}

impl Followed {
    fn notify(&self, version: i32) {
        self.version.send_if_modified(|seen| {
            let newer = version > *seen;
            *seen = version.max(*seen);
            newer
        });
    }
}

/// Everyone who follows a stream of one database, or whatever else has versions that grow. Cheap to
/// clone.
#[derive(Clone, Debug, Default)]
pub struct Watchers {
    streams: Arc<Mutex<Map>>,
}

/// Follows the version of one stream; made by [`Streams::watch`](super::Streams::watch), or
/// of another thing, made by [`Watchers::subscribe`].
#[derive(Debug)]
pub struct Subscription {
    id: Uuid,
    versions: watch::Receiver<i32>,
    watchers: Watchers,
}

impl Watchers {
    /// Starts looking for changes that other processes make, as long as anybody follows a stream.
    ///
    /// `versions` is the query that does: it takes ids and returns those that exist, each with its
    /// version, and finds them by an index.
    pub fn start(service: &Service, pool: Pool, versions: &'static str) -> Self {
        let watchers = Self::default();
        let polled = watchers.clone();
        let stopped = service.stopped();
        service.spawn("watchers", async move {
            stopped.run_until_cancelled(polled.poll(pool, versions)).await;
        });
        watchers
    }

    /// Follows the version of one thing.
    pub fn subscribe(&self, id: Uuid) -> Subscription {
        let mut streams = self.lock();
        let followed = streams.entry(id).or_insert_with(|| Followed {
            version: watch::Sender::new(0),
            fresh: Fresh::default(),
        });
        Subscription { id, versions: followed.version.subscribe(), watchers: self.clone() }
    }

    /// Tells those who follow the thing that it has come to `version`.
    pub fn notify(&self, id: Uuid, version: i32) {
        if let Some(followed) = self.lock().get(&id) {
            followed.notify(version);
        }
    }

    /// Keeps what this process has committed to a stream for those who follow it, and tells them if any
    /// of it is public. Nothing is made of it where nobody does.
    pub(super) fn committed(&self, id: Uuid, events: impl Iterator<Item = Recorded>) {
        if let Some(followed) = self.lock().get_mut(&id) {
            let public = followed.fresh.add(events);
            if let Some(version) = public {
                followed.notify(version);
            }
        }
    }

    async fn poll(self, pool: Pool, versions: &'static str) {
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let ids = self.followed();
            if ids.is_empty() {
                continue;
            }
            let versions = sqlx::query_as(versions).bind(ids).fetch_all(&pool).await;
            // An unreachable database changes nothing; the next poll tries again.
            for (id, version) in versions.unwrap_or_default() {
                self.notify(id, version);
            }
        }
    }

    /// The streams that anybody follows. Forgets the others: two subscriptions that end at once can
    /// each take the other for one that stays.
    fn followed(&self) -> Vec<Uuid> {
        let mut streams = self.lock();
        streams.retain(|_, followed| followed.version.receiver_count() > 0);
        streams.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Waits until the stream is known to be past `version`.
    pub async fn past(&mut self, version: i32) {
        // The sender lives as long as this subscription keeps its entry.
        let _ = self.versions.wait_for(|seen| *seen > version).await;
    }

    /// Which stream, or other thing, it is.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The stream's events after a version, if this process knows all that were told of.
    pub(super) fn fresh(&self, after: i32) -> Option<Vec<Recorded>> {
        let seen = *self.versions.borrow();
        self.watchers.lock().get(&self.id)?.fresh.after(after, seen)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut streams = self.watchers.lock();
        // One receiver left means: only this one.
        if streams.get(&self.id).is_some_and(|followed| followed.version.receiver_count() <= 1) {
            streams.remove(&self.id);
        }
    }
}
