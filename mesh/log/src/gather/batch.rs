//! The commands that one commit carries, and those who wait for their outcomes.

use std::sync::Arc;

use mesh_runtime::trace::TraceContext;
use tokio::{sync::oneshot, time::Instant};

use super::{Entry, Work};
use crate::SubmitError;

pub(super) struct Batch<W: Work> {
    commands: Vec<W::Command>,
    callers: Vec<Caller<W::Outcome>>,
    /// Why it is not known whether an earlier attempt took effect.
    lost: Option<Arc<sqlx::Error>>,
}

/// Whoever waits for an outcome. Dropped without one it says that there is none: the command was
/// begun, so nothing better is known.
struct Caller<O> {
    expires: Instant,
    place: Option<TraceContext>,
    answer: Option<oneshot::Sender<Result<O, SubmitError>>>,
}

impl<O> Caller<O> {
    fn answer(mut self, outcome: Result<O, SubmitError>) {
        if let Some(answer) = self.answer.take() {
            let _ = answer.send(outcome);
        }
    }
}

impl<O> Drop for Caller<O> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            let _ = answer.send(Err(SubmitError::Database(Arc::new(sqlx::Error::WorkerCrashed))));
        }
    }
}

impl<W: Work> Batch<W> {
    pub(super) fn new(entries: Vec<Entry<W>>) -> Self {
        let (commands, callers) = entries
            .into_iter()
            .map(|Entry { command, expires, place, answer }| {
                (command, Caller { expires, place, answer: Some(answer) })
            })
            .unzip();
        Self { commands, callers, lost: None }
    }

    pub(super) fn commands(&self) -> &[W::Command] {
        &self.commands
    }

    /// Those whose callers' traces are sampled, each with its caller's place.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&W::Command, TraceContext)> {
        let pairs = self.commands.iter().zip(&self.callers);
        pairs.filter_map(|(command, caller)| Some((command, caller.place?)))
    }

    /// Notes that nobody knows whether the attempt that ended with `error` took effect.
    pub(super) fn lose(&mut self, error: Arc<sqlx::Error>) {
        self.lost = Some(error);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Takes out those whose callers' deadlines have passed, so that nothing is begun that nobody
    /// waits for. They hear the truth: nothing was done, or it is not known.
    pub(super) fn shed(&mut self) {
        let now = Instant::now();
        if self.callers.iter().all(|caller| caller.expires > now) {
            return;
        }
        let commands = std::mem::take(&mut self.commands);
        for (command, caller) in commands.into_iter().zip(std::mem::take(&mut self.callers)) {
            if caller.expires > now {
                self.commands.push(command);
                self.callers.push(caller);
            } else {
                let lost = self.lost.as_ref();
                let why = lost.map_or(SubmitError::Expired, |e| SubmitError::Database(e.clone()));
                caller.answer(Err(why));
            }
        }
    }

    /// Batches of one command each.
    pub(super) fn split(self) -> impl Iterator<Item = Self> {
        let Self { commands, callers, lost } = self;
        commands.into_iter().zip(callers).map(move |(command, caller)| Self {
            commands: vec![command],
            callers: vec![caller],
            lost: lost.clone(),
        })
    }

    /// Tells each its outcome.
    pub(super) fn succeed(self, outcomes: Vec<W::Outcome>) {
        for (caller, outcome) in self.callers.into_iter().zip(outcomes) {
            caller.answer(Ok(outcome));
        }
    }

    /// Tells all that they have none.
    pub(super) fn fail(self, error: &Arc<sqlx::Error>) {
        for caller in self.callers {
            caller.answer(Err(SubmitError::Database(Arc::clone(error))));
        }
    }
}
