//! Gathers concurrent commands: while one commit is in flight, the next batch collects by itself.
//!
//! A lone command is carried out at once. While commands come together, a batch waits for those that are
//! on their way, and batches begin at a pace: most of what a batch costs does not depend on its size, so
//! fewer and larger ones leave the machine more time. One task owns the connection, so no caller's dropped future ever touches a transaction.

mod batch;
mod pace;
mod run;
mod told;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mesh_runtime::{Service, deadline, trace::TraceContext};
use sqlx::PgConnection;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

use crate::{Database, SubmitError, statement::place};
use run::Runner;

/// How many commands wait at most before new ones are refused.
const QUEUE: usize = 4096;
/// How long a caller without a deadline waits for its command's turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a [`Gather`] does with the commands it has gathered.
pub trait Work: Send + Sync + 'static {
    /// One caller's wish.
    type Command: Send + Sync + 'static;
    /// What became of it; a refusal by a business rule is an outcome, too.
    type Outcome: Send + 'static;

    /// True if `apply` is a single statement, which then commits by itself: two round trips less.
    const ONE_STATEMENT: bool = false;
    /// Names that statement in traces: operation and table, such as `SELECT streams`.
    const SUMMARY: &'static str = "OTHER";
    /// False if commands only read: nobody is told that the log has grown.
    const WRITES: bool = true;
    /// From the beginning of a batch that held several commands to that of the next one, at least.
    const PACE: Duration = Duration::from_millis(4);

    /// Names the command in crash points, metrics and traces.
    fn label(command: &Self::Command) -> &'static str;

    /// Keys of which a batch holds at most one command each; later ones wait for the next batch.
    fn exclusive(_command: &Self::Command) -> Vec<Uuid> {
        Vec::new()
    }

    /// True if an outcome can be wrong when an earlier attempt at the same command may still have
    /// been running; such a command is applied once more.
    fn is_doubtful(_outcome: &Self::Outcome) -> bool {
        false
    }

    /// Carries out all commands in the caller's transaction, and returns one outcome each, in
    /// order.
    ///
    /// May be called again with the same commands: after a commit whose fate is unknown, and one
    /// by one after an error. So a command must know by its keys what it has done already.
    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [Self::Command],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>>;

    /// Called after each commit, with what was committed.
    fn committed(&self, _commands: &[Self::Command], _outcomes: &[Self::Outcome]) {}
}

/// Hands commands to the one task that carries them out. Cheap to clone.
pub struct Gather<W: Work> {
    queue: mpsc::Sender<Entry<W>>,
    work: Arc<W>,
}

impl<W: Work> Clone for Gather<W> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), work: Arc::clone(&self.work) }
    }
}

impl<W: Work> std::fmt::Debug for Gather<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// A command on its way.
struct Entry<W: Work> {
    command: W::Command,
    expires: Instant,
    /// Where the caller is, if its trace is sampled.
    place: Option<TraceContext>,
    answer: oneshot::Sender<Result<W::Outcome, SubmitError>>,
}

impl<W: Work> Gather<W> {
    /// Starts the task that carries out what is submitted, until the service has stopped.
    pub fn start(db: &Database, service: &Service, work: W) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let work = Arc::new(work);
        let runner = Runner::new(db.clone(), service.name(), Arc::clone(&work), waiting);
        let stopped = service.stopped();
        service.spawn("gather", async move { runner.run(stopped).await });
        Self { queue, work }
    }

    /// How many commands wait for their turn.
    pub fn waiting(&self) -> usize {
        QUEUE - self.queue.capacity()
    }

    /// The work that the commands are handed to.
    pub fn work(&self) -> &W {
        &self.work
    }

    /// Hands a command in and waits for its outcome.
    ///
    /// Refuses at once when too many wait. A command whose caller's deadline passes before its
    /// turn is not carried out; once its turn has come it is, whether or not the caller waits. Its turn
    /// is when a connection is there: one that expires while one is made, or before another attempt
    /// after a lost race, is not carried out either. A commit has 8 s, whatever the deadlines; one that
    /// has not answered by then is taken for lost and tried again, and of commands that expire
    /// meanwhile it is said that they may have taken effect ([`SubmitError::Database`]).
    pub async fn submit(&self, command: W::Command) -> Result<W::Outcome, SubmitError> {
        let expires = deadline::current().unwrap_or_else(|| Instant::now() + PATIENCE);
        let (answer, answered) = oneshot::channel();
        let entry = Entry { command, expires, place: place(), answer };
        self.queue.try_send(entry).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })?;
        answered.await.unwrap_or(Err(SubmitError::Stopped))
    }
}
