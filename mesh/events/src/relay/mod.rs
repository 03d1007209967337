//! The relay: the only publisher of its service's stream.
//!
//! It publishes the public rows of the log in log order, pipelined. Each message says after which
//! sequence it belongs, so the broker refuses what a stale relay sends and what would leave a
//! hole. The stream holds the cursor: after any doubt the relay reads the stream's last message
//! and goes on after it.

mod cursor;
mod gauge;
mod publisher;

use std::{error::Error, time::Duration};

use mesh_log::{Database, Lease};
use mesh_runtime::Service;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{Nats, backoff::Backoff};
use gauge::Gauges;
use publisher::{Interrupted, Publisher};

/// How often it is measured how late the stream is.
const MEASURE: Duration = Duration::from_secs(2);
/// Pauses after trouble.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often a relay that stands by may wake the one that leads.
const HINT_PAUSE: Duration = Duration::from_millis(5);
/// How often a relay that stands by hints although nothing happened.
const HINT_POLL: Duration = Duration::from_secs(60);

/// Publishes a service's log to its stream.
#[derive(Debug)]
pub struct Relay;

impl Relay {
    /// Publishes the public events of `db` to `stream` until the service has stopped.
    ///
    /// One replica at a time does so; the others stand by and wake it when they have committed.
    pub fn start(service: &Service, db: &Database, nats: &Nats, stream: &'static str) {
        let relay = Work {
            service: service.name(),
            db: db.clone(),
            nats: nats.clone(),
            stream,
            gauges: Gauges::new(service.name(), stream),
        };
        let stopped = service.stopped();
        service.spawn("relay", async move {
            stopped.run_until_cancelled(Box::pin(relay.run())).await;
        });
    }
}

/// Everything that a running relay needs.
#[derive(Clone, Debug)]
struct Work {
    service: &'static str,
    db: Database,
    nats: Nats,
    stream: &'static str,
    gauges: Gauges,
}

/// Why the relay cannot tell where to go on.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the broker does not answer as expected: {0}")]
    Broker(Box<dyn Error + Send + Sync>),
    #[error("the log cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The log was restored from an older copy: its new events would be taken for published.
    #[error("the stream holds log position {position}, the log ends at {head}")]
    AheadOfLog { position: i64, head: i64 },
}

impl Trouble {
    fn broker(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broker(error.into())
    }
}

impl Work {
    async fn run(&self) {
        loop {
            let lease = tokio::select! {
                lease = self.db.replica().lead("relay") => lease,
                () = self.hint() => continue,
            };
            tracing::info!(stream = self.stream, "relay leads");
            let work = async {
                tokio::select! {
                    () = self.publish(&lease) => (),
                    () = self.measure() => (),
                }
            };
            lease.lost().run_until_cancelled(work).await;
            self.gauges.stand_by();
            tracing::info!(stream = self.stream, "relay stands by");
        }
    }

    /// Publishes until the lease is lost.
    async fn publish(&self, lease: &Lease) {
        let mut backoff = Backoff::new(PAUSE);
        // Positions that the broker took for duplicates of messages that it no longer has.
        let mut refused = None;
        while !lease.lost().is_cancelled() {
            self.nats.connected().await;
            let connection = self.nats.connection();
            let cursor = match cursor::find(&self.nats, &self.db, self.stream).await {
                Ok(cursor) => cursor,
                Err(trouble) => {
                    tracing::warn!(stream = self.stream, %trouble, "relay cannot go on yet");
                    backoff.pause().await;
                    continue;
                }
            };
            if refused.take().is_some_and(|position| position > cursor.position) {
                let window = cursor.window;
                tracing::warn!(stream = self.stream, ?window, "duplicate window is waited out");
                tokio::time::sleep(window).await;
            }
            let start = cursor.clone();
            let mut publisher = Publisher::new(self, cursor, connection);
            let why = publisher.run().await;
            if publisher.position() > start.position {
                backoff.reset();
            }
            tracing::info!(stream = self.stream, position = publisher.position(), %why,
                "relay reads its cursor again");
            if let Interrupted::DuplicateElsewhere { position } = why {
                refused = Some(position);
            }
            backoff.pause().await;
        }
    }

    /// Measures how late the stream is, most of all while the broker is away.
    async fn measure(&self) {
        let mut ticks = tokio::time::interval_at(Instant::now() + MEASURE, MEASURE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.gauges.measure(&self.db, self.stream).await {
                tracing::warn!(%error, "relay cannot measure its lag");
            }
        }
    }

    /// Wakes the replica that leads whenever this one has committed.
    async fn hint(&self) {
        let mut wake = self.db.wake().waiter();
        loop {
            wake.wait(HINT_POLL).await;
            if self.nats.is_connected() {
                let subject = hint_subject(self.service);
                // Only a hint: the other one polls as well.
                let _ = self.nats.client().publish(subject, bytes::Bytes::new()).await;
            }
            tokio::time::sleep(HINT_PAUSE).await;
        }
    }
}

/// The plain subject on which replicas of a service tell each other what a stream does not: that the log has
/// grown, say. Who may use it is decided at the broker.
pub fn hint_subject(service: &str) -> String {
    format!("mesh.hint.{service}")
}
