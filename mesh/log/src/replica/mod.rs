//! Which processes are at work on a database, and which of them does what.
//!
//! A replica is one database session: it holds an advisory lock made from the replica's id and
//! touches `replicas.seen` every second, by the database's clock. A replica whose lock is gone, or
//! which was not seen for five seconds (a stopped process keeps its lock), is dead: the others end
//! its sessions and take over its streams. One that wakes without its session gets a new id.

mod lease;
mod session;

use std::{sync::Arc, time::Duration};

use mesh_runtime::{Condition, Service};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::Pool;
pub use lease::Lease;
use session::{Request, Session};

/// How often a replica shows that it lives, and looks after the others.
const TICK: Duration = Duration::from_millis(1000);
/// How often leases that somebody else holds are asked for again.
const LEASE_POLL: Duration = Duration::from_millis(250);
/// Pause between attempts to join again.
const REJOIN_PAUSE: Duration = Duration::from_millis(200);
/// No directory, and so nobody's socket: connecting fails at once, and is not tried again.
const NOWHERE: &str = "/dev/null";

/// This process among those that work on one database.
#[derive(Debug)]
pub struct Replica {
    current: watch::Receiver<Option<Uuid>>,
    takeovers: watch::Receiver<u64>,
    requests: mpsc::UnboundedSender<Request>,
}

impl Replica {
    /// Joins the database and stays joined, with a new id after each lost session, until the
    /// service has stopped. Returns once it has joined for the first time, or the service stops.
    pub(crate) async fn join(
        service: &Service,
        options: PgConnectOptions,
        pool: Pool,
        condition: Condition,
    ) -> Self {
        let (current_sender, mut current) = watch::channel(None);
        let (takeover_sender, takeovers) = watch::channel(0);
        let (requests, inbox) = mpsc::unbounded_channel();
        let member = Member {
            options,
            pool,
            condition,
            current: current_sender,
            takeovers: takeover_sender,
            inbox,
            waiting: Vec::new(),
        };
        let stopped = service.stopped();
        service.spawn("replica", async move {
            let mut member = member;
            stopped.clone().run_until_cancelled(member.stay()).await;
            member.current.send_replace(None);
        });
        let _ = service.draining().run_until_cancelled(current.wait_for(Option::is_some)).await;
        Self { current, takeovers, requests }
    }

    /// The id under which this process works now; none while it has no session.
    pub fn id(&self) -> Option<Uuid> {
        *self.current.borrow()
    }

    /// Follows the id: it changes when the session is lost and joined again.
    pub fn ids(&self) -> watch::Receiver<Option<Uuid>> {
        self.current.clone()
    }

    /// Counts how often this replica took over streams of another, to wake who drives them.
    pub fn takeovers(&self) -> watch::Receiver<u64> {
        self.takeovers.clone()
    }

    /// Waits until this replica is the one that holds `name`; the others stand by.
    ///
    /// The lease ends when it is dropped or the session is lost; see [`Lease::lost`].
    pub async fn lead(&self, name: impl Into<Arc<str>>) -> Lease {
        let name = name.into();
        loop {
            let (answer, answered) = tokio::sync::oneshot::channel();
            let request = Request::Lead { name: Arc::clone(&name), answer };
            if self.requests.send(request).is_err() {
                // The service has stopped; nobody leads any more.
                std::future::pending::<()>().await;
            }
            if let Ok(lost) = answered.await {
                return Lease::new(name, lost, self.requests.clone());
            }
        }
    }
}

/// Keeps the process joined.
struct Member {
    options: PgConnectOptions,
    pool: Pool,
    condition: Condition,
    current: watch::Sender<Option<Uuid>>,
    takeovers: watch::Sender<u64>,
    inbox: mpsc::UnboundedReceiver<Request>,
    waiting: Vec<Request>,
}

impl Member {
    async fn stay(&mut self) {
        loop {
            let id = Uuid::now_v7();
            match Session::open(&self.options, id).await {
                Ok(session) => {
                    tracing::info!(replica = %id, "replica joined");
                    // New pool connections carry the new id, so that a successor can end them.
                    self.pool.set_connect_options(
                        self.options.clone().application_name(&id.to_string()),
                    );
                    self.condition.ready();
                    self.current.send_replace(Some(id));
                    let error = self.work(session).await;
                    self.current.send_replace(None);
                    self.condition.down(format!("session lost: {error}"));
                    tracing::warn!(replica = %id, %error, "replica lost its session");
                }
                Err(error) => {
                    self.condition.down(format!("unreachable: {error}"));
                    // Whoever wants a connection now hears at once that there is none, instead of
                    // waiting for one as if the service were overloaded.
                    self.pool.set_connect_options(self.options.clone().socket(NOWHERE));
                    tokio::time::sleep(REJOIN_PAUSE).await;
                }
            }
        }
    }

    /// Serves one session until it is lost; its leases end with it.
    async fn work(&mut self, mut session: Session) -> sqlx::Error {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut poll = tokio::time::interval(LEASE_POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = tick.tick() => self.tick(&mut session).await,
                _ = poll.tick(), if !self.waiting.is_empty() => self.ask(&mut session).await,
                Some(request) = self.inbox.recv() => {
                    self.waiting.push(request);
                    self.ask(&mut session).await
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn tick(&mut self, session: &mut Session) -> sqlx::Result<()> {
        session.show_life().await?;
        if session.take_over_the_dead().await? {
            self.takeovers.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    async fn ask(&mut self, session: &mut Session) -> sqlx::Result<()> {
        for request in std::mem::take(&mut self.waiting) {
            if let Some(refused) = session.serve(request).await? {
                self.waiting.push(refused);
            }
        }
        Ok(())
    }
}
