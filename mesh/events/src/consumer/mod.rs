//! The consumer: applies the events of another service's stream, each once in effect.
//!
//! One replica at a time works a durable consumer, in parallel lanes by key, in stream order
//! within a key. The inbox makes one effect of many deliveries; acknowledgements only save work.

mod delivery;
mod durable;
mod gauge;
mod recovery;
mod session;
mod sweep;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh_log::{Database, Lease};
use mesh_runtime::Service;
use tokio_util::sync::CancellationToken;

use crate::{Handler, Nats, backoff::Backoff, dead_letters};
use gauge::Gauges;
use session::Session;

/// Pauses after trouble.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How a consumer behaves; the defaults are right for most.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// How often the handler may fail on an event before it becomes a dead letter.
    pub attempts: u32,
    /// How often an event may be delivered before it becomes a dead letter: its handler may end
    /// the process each time, so that nobody counts.
    pub deliveries: i64,
    /// First and longest pause between two attempts; only the event's key waits.
    pub retry_pause: (Duration, Duration),
    /// How long one attempt may take; one that takes longer has failed.
    pub attempt_limit: Duration,
    /// How many events are applied at once.
    pub lanes: usize,
    /// How many events may be unacknowledged at once.
    pub in_flight: usize,
    /// How long the broker waits for an acknowledgement before it delivers again.
    pub ack_wait: Duration,
    /// Events older than this are not applied: the inbox may have forgotten them. It remembers for
    /// a day longer, because clocks differ.
    pub horizon: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            attempts: 8,
            deliveries: 32,
            retry_pause: (Duration::from_millis(50), Duration::from_secs(5)),
            attempt_limit: Duration::from_secs(30),
            lanes: 32,
            in_flight: 256,
            ack_wait: Duration::from_secs(5),
            horizon: crate::STREAM_AGE_LIMIT + Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Applies the events of one stream to one service. Cheap to clone.
#[derive(Clone)]
pub struct Consumer {
    work: Arc<Work>,
}

/// Everything that a running consumer needs.
struct Work {
    /// Name of the service, and of its durable consumer.
    service: &'static str,
    db: Database,
    nats: Nats,
    stream: &'static str,
    subjects: Vec<String>,
    options: ConsumerOptions,
    handler: Arc<dyn Handler>,
    /// Keys that have dead letters, as far as this process knows.
    blocked: Mutex<HashSet<String>>,
    gauges: Gauges,
}

impl Consumer {
    /// Hands the events of `source_stream` with one of the `subjects` to `handler`, until the
    /// service has stopped.
    ///
    /// The durable consumer is named like the service; it is made if it is missing, and made anew
    /// if its stream has lost what it already delivered.
    pub fn start(
        service: &Service,
        db: &Database,
        nats: &Nats,
        source_stream: &'static str,
        subjects: &[&str],
        handler: impl Handler,
    ) -> Self {
        let options = ConsumerOptions::default();
        Self::start_with(service, db, nats, source_stream, subjects, handler, options)
    }

    /// As [`Consumer::start`], with other options.
    pub fn start_with(
        service: &Service,
        db: &Database,
        nats: &Nats,
        source_stream: &'static str,
        subjects: &[&str],
        handler: impl Handler,
        options: ConsumerOptions,
    ) -> Self {
        let work = Arc::new(Work {
            service: service.name(),
            db: db.clone(),
            nats: nats.clone(),
            stream: source_stream,
            subjects: subjects.iter().map(ToString::to_string).collect(),
            options,
            handler: Arc::new(handler),
            blocked: Mutex::default(),
            gauges: Gauges::new(service.name(), source_stream),
        });
        let stopped = service.stopped();
        service.spawn("consumer", Arc::clone(&work).run(stopped));
        Self { work }
    }

    /// The stream that this consumer reads.
    pub fn stream(&self) -> &'static str {
        self.work.stream
    }

    pub(crate) fn handler(&self) -> &dyn Handler {
        &*self.work.handler
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("stream", &self.work.stream).finish_non_exhaustive()
    }
}

impl Work {
    async fn run(self: Arc<Self>, stopped: CancellationToken) {
        loop {
            let lead = self.db.replica().lead(format!("consumer:{}", self.stream));
            let Some(lease) = stopped.run_until_cancelled(lead).await else { return };
            tracing::info!(stream = self.stream, "consumer leads");
            tokio::select! {
                () = self.consume(&lease, &stopped) => {}
                () = sweep::run(&self) => {}
            }
            self.gauges.stand_by();
            tracing::info!(stream = self.stream, "consumer stands by");
            if stopped.is_cancelled() {
                return;
            }
        }
    }

    /// Consumes until the lease is lost or the service has stopped.
    async fn consume(self: &Arc<Self>, lease: &Lease, stopped: &CancellationToken) {
        let mut backoff = Backoff::new(PAUSE);
        let ended = lease.lost();
        while !ended.is_cancelled() && !stopped.is_cancelled() {
            let work = async {
                self.nats.connected().await;
                let connection = self.nats.connection();
                *self.blocked() = dead_letters::keys(&self.db, self.stream).await?;
                let (consumer, info) = durable::open(self).await?;
                Session::open(self, connection, consumer, &info).await
            };
            let opened = tokio::select! {
                opened = work => opened,
                () = ended.cancelled() => return,
                () = stopped.cancelled() => return,
            };
            match opened {
                Ok(mut session) => {
                    let why = session.run(ended, stopped).await;
                    tracing::info!(stream = self.stream, %why, "consumer session ended");
                    let applied =
                        session.end(stopped.is_cancelled() || !ended.is_cancelled()).await;
                    if applied > 0 {
                        backoff.reset();
                    }
                }
                Err(trouble) => {
                    tracing::warn!(stream = self.stream, %trouble, "consumer cannot go on yet");
                }
            }
            tokio::select! {
                () = backoff.pause() => {}
                () = ended.cancelled() => {}
                () = stopped.cancelled() => {}
            }
        }
    }

    fn blocked(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a consumer cannot work.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the broker does not answer as expected: {0}")]
    Broker(Box<dyn std::error::Error + Send + Sync>),
    #[error("the dead letters cannot be read: {0}")]
    Database(#[from] sqlx::Error),
}

impl Trouble {
    fn broker(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Broker(error.into())
    }
}
