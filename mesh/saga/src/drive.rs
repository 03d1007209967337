//! Drives one saga, from the state in which it was handed in until it rests.

use std::time::Duration;

use mesh_log::{Awake, Outcome, Stored};
use mesh_runtime::crash;
use tokio::{sync::Notify, time::Instant};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{Answer, Next, Patience, Saga, Verdict, backoff::Backoff, engine::Inner};

/// For which part of its patience this process has tried a step itself before it is given up.
const AT_LEAST: u32 = 10;

/// One saga on its way.
pub(crate) struct Driver<S: Saga> {
    state: S::State,
    /// Since when the saga has been awake, and since when the next step is due.
    awake_since: Instant,
    due_since: Instant,
}

/// What came of repeating a step.
enum Tried {
    Verdict(Verdict),
    /// Somebody else changed the stream: look at it before going on.
    Changed,
    /// The service ends before the outcome is known.
    Closing,
}

/// What came of recording a verdict.
enum Record {
    Accepted,
    /// Not known to be recorded: the stream tells.
    Reload,
}

impl<S: Saga> Driver<S> {
    pub(crate) fn fresh(state: S::State) -> Self {
        let now = Instant::now();
        Self { state, awake_since: now, due_since: now }
    }

    pub(crate) fn resumed(state: S::State, stored: &Stored) -> Self {
        let ago = |age: Duration| Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        let awake_since = ago(stored.awake_for.unwrap_or_default());
        Self { state, awake_since, due_since: ago(stored.unchanged_for) }
    }

    /// Goes on until the saga rests, another replica has taken it over, or the service ends: a step
    /// that has begun by then is finished and recorded first.
    pub(crate) async fn run(mut self, inner: &Inner<S>, id: Uuid, changed: &Notify) {
        let mut backoff = Backoff::new();
        while let Next::Call(step, patience) = inner.saga.next(&self.state) {
            if inner.closing.is_cancelled() {
                return;
            }
            let hold = inner.service.hold();
            let verdict = match self.attempt(inner, id, &step, patience, changed).await {
                Tried::Verdict(verdict) => Some(verdict),
                Tried::Changed => None,
                Tried::Closing => return,
            };
            let record = match &verdict {
                Some(verdict) => self.record(inner, id, &step, verdict).await,
                None => Record::Reload,
            };
            drop(hold);
            match record {
                Record::Accepted => backoff = Backoff::new(),
                Record::Reload => {
                    if verdict.is_some() {
                        tokio::time::sleep(backoff.pause()).await;
                    }
                    match self.reload(inner, id, &mut backoff).await {
                        Some(driver) => self = driver,
                        None => return,
                    }
                }
            }
        }
    }

    /// Repeats a step until its outcome is known, its time is up, or the stream was changed.
    async fn attempt(
        &self,
        inner: &Inner<S>,
        id: Uuid,
        step: &S::Step,
        patience: Patience,
        changed: &Notify,
    ) -> Tried {
        let label = inner.saga.label(step);
        let mut backoff = Backoff::new();
        let started = Instant::now();
        loop {
            let span = tracing::error_span!("saga step", saga_id = %id, step = label);
            let answer = self.call(inner, id, step, label).instrument(span).await;
            let unknown = match answer {
                Answer::Unknown(error) => error,
                known => return Tried::Verdict(self.judge(inner, id, label, started, known)),
            };
            tracing::debug!(saga_id = %id, step = label, error = %unknown, "saga step unknown");
            if let Some(verdict) = self.out_of_time(patience, started, unknown) {
                inner.metrics.step(label, "out_of_time", started.elapsed().as_secs_f64());
                return Tried::Verdict(verdict);
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => (),
                () = changed.notified() => return Tried::Changed,
                () = inner.closing.cancelled() => return Tried::Closing,
            }
        }
    }

    async fn call(
        &self,
        inner: &Inner<S>,
        id: Uuid,
        step: &S::Step,
        label: &'static str,
    ) -> Answer {
        let Ok(_slot) = inner.slots.acquire().await else {
            return Answer::Unknown("the engine is ending".into());
        };
        crash::point(label, "before_call");
        let answer = inner.saga.call(id, &self.state, step).await;
        crash::point(label, "after_call");
        answer
    }

    fn judge(
        &self,
        inner: &Inner<S>,
        id: Uuid,
        label: &'static str,
        started: Instant,
        answer: Answer,
    ) -> Verdict {
        let (verdict, word) = match answer {
            Answer::Done => (Verdict::Done, "done"),
            Answer::Refused { reason, detail } => (Verdict::Refused { reason, detail }, "refused"),
            Answer::Mismatch(error) => (Verdict::Mismatch(error), "mismatch"),
            Answer::Unknown(error) => (Verdict::TimedOut(error), "unknown"),
        };
        inner.metrics.step(label, word, started.elapsed().as_secs_f64());
        if verdict != Verdict::Done {
            tracing::info!(saga_id = %id, step = label, verdict = ?verdict, "saga step not done");
        }
        verdict
    }

    /// The verdict on a step that was tried for long enough, if it was. Time in which nobody could try,
    /// because all replicas were down, is not all that counts: one call into a shop that is just coming up
    /// tells little.
    fn out_of_time(&self, patience: Patience, tried: Instant, error: String) -> Option<Verdict> {
        let is_over =
            |since: Instant, limit| since.elapsed() >= limit && tried.elapsed() >= limit / AT_LEAST;
        match patience {
            Patience::Limited(limit) if is_over(self.due_since, limit) => {
                Some(Verdict::TimedOut(error))
            }
            Patience::UntilOverdue(limit) if is_over(self.awake_since, limit) => {
                Some(Verdict::Overdue(error))
            }
            _ => None,
        }
    }

    /// Records a verdict; the next step is then due.
    async fn record(
        &mut self,
        inner: &Inner<S>,
        id: Uuid,
        step: &S::Step,
        verdict: &Verdict,
    ) -> Record {
        let (state, mut change) = inner.saga.record(id, &self.state, step, verdict);
        change.owner = inner.streams.database().replica().id();
        let is_over = change.awake == Awake::No;
        match inner.streams.commit(change).await {
            Ok(Outcome::Accepted(_) | Outcome::Already(_)) => {
                self.state = state;
                self.due_since = Instant::now();
                if *verdict == Verdict::Done {
                    let age = self.awake_since.elapsed().as_secs_f64();
                    inner.metrics.reached(inner.saga.label(step), age);
                }
                if is_over {
                    let seconds = self.awake_since.elapsed().as_secs_f64();
                    tracing::info!(saga_id = %id, step = inner.saga.label(step), seconds, "saga ended");
                }
                // At rest with work left to do: only a person can let it go on.
                if !is_over && inner.saga.next(&self.state) == Next::Rest {
                    let label = inner.saga.label(step);
                    tracing::warn!(saga_id = %id, step = label, ?verdict, "saga parked");
                }
                Record::Accepted
            }
            Ok(Outcome::Conflict) => {
                inner.metrics.conflict();
                Record::Reload
            }
            Ok(Outcome::Refused(reason)) => {
                tracing::error!(saga_id = %id, reason, "saga change refused");
                Record::Reload
            }
            Err(error) => {
                tracing::debug!(saga_id = %id, %error, "saga change not recorded");
                Record::Reload
            }
        }
    }

    /// The saga as its stream has it; none if it rests or another replica drives it.
    async fn reload(&self, inner: &Inner<S>, id: Uuid, backoff: &mut Backoff) -> Option<Self> {
        let stored = loop {
            match inner.streams.load(id).await {
                Ok(stored) => break stored?,
                Err(error) => {
                    tracing::debug!(saga_id = %id, %error, "saga not loaded");
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        };
        stored.awake_for?;
        let mine = inner.streams.database().replica().id();
        // With a new id the takeover of the old one hands the stream back to the engine.
        if stored.owner.is_some() && stored.owner != mine {
            return None;
        }
        let state = inner.saga.decode(id, &stored).ok()?;
        Some(Self::resumed(state, &stored))
    }
}
