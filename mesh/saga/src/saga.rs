//! What a saga says of itself.

use std::time::Duration;

use futures::future::BoxFuture;
use mesh_log::{Change, Companion, Stored};
use uuid::Uuid;

/// A process of several calls that ends well, or is undone, whatever crashes.
pub trait Saga: Send + Sync + 'static {
    /// The fold of the stream.
    type State: Clone + Send + Sync + 'static;
    /// Something that is done by a call: an action or a compensation.
    type Step: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static;
    /// Rows that change with the stream.
    type Companion: Companion;

    /// Reads a stream.
    fn decode(&self, id: Uuid, stored: &Stored) -> Result<Self::State, Broken>;

    /// What is to be done in a state.
    fn next(&self, state: &Self::State) -> Next<Self::Step>;

    /// Names a step in crash points, spans and metrics: lower case, stable.
    fn label(&self, step: &Self::Step) -> &'static str;

    /// Calls whoever does the step, under a key made from the stream's id and the step, so that a
    /// repeated call has the effect of one. Bounded by the callee's deadline.
    fn call<'a>(
        &'a self,
        id: Uuid,
        state: &'a Self::State,
        step: &'a Self::Step,
    ) -> BoxFuture<'a, Answer>;

    /// The change that records what became of a step, and the state after it. Pure: the engine
    /// fills in the owner.
    fn record(
        &self,
        id: Uuid,
        state: &Self::State,
        step: &Self::Step,
        verdict: &Verdict,
    ) -> (Self::State, Change<Self::Companion>);
}

/// Shows a saga to its operator.
pub trait Describe: Saga {
    /// Where a saga stands.
    fn describe(&self, state: &Self::State) -> Standing;
}

/// Where a saga stands, for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Waits for an operator.
    pub parked: bool,
    /// Undoes what was done.
    pub back: bool,
    /// Has nothing left to do.
    pub ended: bool,
    /// The step that is running, or at which it was parked.
    pub step: String,
    /// Why it was turned back or parked; empty while it goes forward.
    pub reason: String,
}

/// What is to be done in a state.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<S> {
    /// Call this step, and be so patient with it.
    Call(S, Patience),
    /// Nothing: the saga has ended, or waits for an operator.
    Rest,
}

/// How long a step is repeated whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// So long since the step became due, and a tenth of it by the process that drives the saga now; then
    /// the verdict is [`Verdict::TimedOut`].
    Limited(Duration),
    /// So long since the saga was awake at first, and a tenth of it likewise; then the verdict is
    /// [`Verdict::Overdue`].
    UntilOverdue(Duration),
    /// For ever.
    Endless,
}

/// What one call of a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is refused, and will be however often it is repeated.
    Refused {
        /// Stable, UPPER_SNAKE.
        reason: String,
        /// What can be added.
        detail: String,
    },
    /// It may have been done: repeat it.
    Unknown(String),
    /// The key was used for other content before: nothing but a person can say what happened.
    Mismatch(String),
}

/// What became of a step, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It is refused for good.
    Refused {
        /// Stable, UPPER_SNAKE.
        reason: String,
        /// What can be added.
        detail: String,
    },
    /// Its outcome was unknown for longer than the step's patience.
    TimedOut(String),
    /// The saga's time is up.
    Overdue(String),
    /// The key was used for other content before.
    Mismatch(String),
}

/// A stream that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stream's state cannot be read: {0}")]
pub struct Broken(pub String);
