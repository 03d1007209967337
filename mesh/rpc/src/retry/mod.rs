//! Retries after answers that the contract calls safe to repeat (gRFC A6), within a budget.
//!
//! An attempt that fails with one of the rule's codes is followed by another after a pause that
//! doubles, drawn from ±20 %, or when the callee says (`grpc-retry-pushback-ms`: negative or
//! malformed is never). What may have been done is repeated only if the method is idempotent; what
//! surely was not done ([`Disposition`](crate::Disposition)), always. No attempt is made
//!
//! - when the [budget](crate::budget) of the target is spent,
//! - when the pause would leave less of the deadline than the method's median attempt takes: the
//!   caller gets the failure at once instead of waiting for another,
//! - once the call is committed: the headers of a stream's answer have come, the first message of a
//!   unary one, or the request is not kept ([`replay`](crate::replay)),
//! - after a refusal of this side ([`refusal`](mod@crate::refusal)),
//! - when a hop nearer to the failure has repeated it ([`guard`]).
//!
//! The last answer is returned as it came. A method whose rule says so is hedged instead
//! ([`hedge`]): never both.
//!
//! Cost of a call that succeeds at once: a look-up of the method, three atomic operations, and
//! `grpc.client.attempt.duration`; no allocation, no lock that anybody else writes.

mod peek;
mod rule;
mod verdict;

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use http::Response;
use mesh_policy::values;
use tokio::time::{Instant, sleep};
use tonic::{Status, body::Body};

pub(crate) use self::verdict::{Outcome, PUSHBACK, PUSHBACK_NAME, Verdict};
pub use self::{
    peek::Peeked,
    rule::{Codes, Repeat, Rule},
};
use crate::{
    attempt::{Attempt, Call, Repetition, observe},
    budget::Budget,
    deadline::LEAST,
    guard,
    hedge::{self, Share},
    jitter::Jitter,
    latency::Latency,
    refusal,
    telemetry::Durations,
};

/// Methods of one target that are told apart; more are a fault and share what is known.
const MAX_METHODS: usize = 512;

/// What retries and hedges of one target share: the budget, and what is known of its methods.
#[derive(Debug, Default)]
pub struct Retries {
    budget: Budget,
    jitter: Arc<Jitter>,
    methods: RwLock<HashMap<Box<str>, Arc<Memory>>>,
}

/// What operators see of one method: how long successful attempts took in the last minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// `package.Service/Method`.
    pub method: Box<str>,
    /// Half of them took no longer; none if there was none.
    pub median: Option<Duration>,
    /// Of twenty, nineteen took no longer.
    pub p95: Option<Duration>,
}

/// What is known of one method.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) latency: Latency,
    pub(crate) share: Share,
    attempts: OnceLock<Durations>,
}

impl Retries {
    /// For one target. Give a seeded `jitter` to have the same pauses again.
    pub fn new(budget: values::Budget, jitter: Arc<Jitter>) -> Self {
        Self { budget: Budget::new(budget), jitter, methods: RwLock::default() }
    }

    /// The account that repetitions are paid from.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Lists what is known of the methods called so far, in no order, for operators.
    pub fn methods(&self) -> Vec<Known> {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::with_capacity(methods.len());
        for (method, memory) in &*methods {
            let quantile = |share| memory.latency.quantile(share, 1);
            let (median, p95) = (quantile(0.5), quantile(0.95));
            all.push(Known { method: method.clone(), median, p95 });
        }
        all
    }

    /// Makes `call`: sends it, and sends it again as `rule` and the answers say.
    ///
    /// `send` makes one attempt; its future is dropped when nobody waits for the attempt any more.
    /// That an attempt ends in time is the business of whoever calls
    /// ([`within`](crate::deadline::within)).
    pub async fn run<'c, F, W>(
        &self,
        call: &'c Call,
        rule: Rule,
        send: F,
    ) -> Result<Response<Peeked>, Status>
    where
        F: Fn(Attempt<'c>) -> W,
        W: Future<Output = Result<Response<Body>, Status>>,
    {
        self.run_known(&self.memory(call.method()), call, rule, send).await
    }

    /// As [`run`](Self::run), for a method whose [`memory`](Self::memory) is at hand.
    pub(crate) async fn run_known<'c, F, W>(
        &self,
        memory: &Memory,
        call: &'c Call,
        rule: Rule,
        send: F,
    ) -> Outcome
    where
        F: Fn(Attempt<'c>) -> W,
        W: Future<Output = Result<Response<Body>, Status>>,
    {
        match rule.repeat {
            Repeat::Hedge(values) if call.is_repeatable() => {
                // On the heap: few methods are hedged, and its futures are large.
                Box::pin(hedge::run(self, memory, call, &rule, values, send)).await
            }
            Repeat::Hedge(_) => self.once(memory, call, &rule, 1, &send).await.0,
            Repeat::Retry(values) => self.retry(memory, call, &rule, values, send).await,
        }
    }

    async fn retry<'c, F, W>(
        &self,
        memory: &Memory,
        call: &'c Call,
        rule: &Rule,
        values: values::Retry,
        send: F,
    ) -> Outcome
    where
        F: Fn(Attempt<'c>) -> W,
        W: Future<Output = Result<Response<Body>, Status>>,
    {
        let mut number = 1;
        let mut backoff = Backoff { values, next: values.first_backoff };
        loop {
            let (mut outcome, verdict) = self.once(memory, call, rule, number, &send).await;
            if let Err(stop) = self.may_repeat(call, rule, number, verdict) {
                stop.note(call, number, &mut outcome);
                return outcome;
            }
            let pause = match verdict {
                Verdict::Repeatable(Some(pushback)) => {
                    // gRFC A6: the next pause without pushback is the first one again.
                    backoff.next = values.first_backoff;
                    pushback
                }
                _ => self.jitter.spread(backoff.step()),
            };
            let median = || memory.latency.quantile(0.5, 1).unwrap_or_default().max(LEAST);
            if call.remaining().is_some_and(|left| pause >= left.saturating_sub(median())) {
                Stop::Deadline.note(call, number, &mut outcome);
                return outcome;
            }
            sleep(pause).await;
            call.paused(pause);
            number += 1;
            call.repeats(number, Repetition::Retry(pause));
        }
    }

    /// Makes one attempt and keeps the books.
    pub(crate) async fn once<'c, F, W>(
        &self,
        memory: &Memory,
        call: &'c Call,
        rule: &Rule,
        number: u32,
        send: &F,
    ) -> (Outcome, Verdict)
    where
        F: Fn(Attempt<'c>) -> W,
        W: Future<Output = Result<Response<Body>, Status>>,
    {
        // Where no answer would be repeated, none is looked into.
        let look = rule.unary && rule.idempotent && call.is_repeatable() && rule.attempts() > 1;
        let begin = Instant::now();
        let attempt = call.attempt(number);
        let sent = pin!(async {
            let response = send(attempt).await?;
            if look { Peeked::look(response).await } else { Ok(response.map(Peeked::unread)) }
        });
        let durations = memory.attempts.get_or_init(|| call.durations());
        let mut outcome = observe(attempt, durations, begin, sent).await;
        let verdict = Verdict::read(rule, &mut outcome);
        // Who refused this attempt knows nothing of others, which may have been processed.
        let alone = number == 1 && matches!(rule.repeat, Repeat::Retry(_));
        if rule.idempotent
            && !alone
            && let Ok(response) = &mut outcome
            && let Some(end) = Peeked::end(response)
        {
            refusal::disown(end);
        }
        if verdict == Verdict::Success {
            memory.latency.record(begin.elapsed());
            self.budget.succeeded();
        } else if verdict.is_failure() {
            self.budget.failed();
        }
        (outcome, verdict)
    }

    pub(crate) fn may_repeat(
        &self,
        call: &Call,
        rule: &Rule,
        number: u32,
        verdict: Verdict,
    ) -> Result<(), Stop> {
        match verdict {
            Verdict::Success | Verdict::Final => Err(Stop::Answered),
            Verdict::Refused => Err(Stop::Refused),
            Verdict::Forbidden => Err(Stop::Pushback),
            Verdict::Unsafe => Err(Stop::Unsafe),
            Verdict::Repeatable(_) if rule.attempts() == 1 => Err(Stop::Answered),
            Verdict::Repeatable(_) if !call.is_repeatable() => Err(Stop::Committed),
            Verdict::Repeatable(_) if number >= rule.attempts() => Err(Stop::Attempts),
            Verdict::Repeatable(_) if !self.budget.allows() => Err(Stop::Budget),
            Verdict::Repeatable(_) => Ok(()),
        }
    }

    pub(crate) fn memory(&self, method: &str) -> Arc<Memory> {
        let known = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = known.get(method) {
            return Arc::clone(memory);
        }
        drop(known);
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        let method = if methods.len() < MAX_METHODS { method } else { "" };
        Arc::clone(methods.entry(method.into()).or_default())
    }
}

/// The pauses that gRFC A6 computes, before they are drawn from.
struct Backoff {
    values: values::Retry,
    next: Duration,
}

impl Backoff {
    fn step(&mut self) -> Duration {
        let pause = self.next.min(self.values.max_backoff);
        // A pause cannot be longer than the longest: no overflow, however many there are.
        self.next = pause.mul_f64(self.values.multiplier.clamp(1.0, 1000.0));
        pause
    }
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Answered,
    Refused,
    Pushback,
    Unsafe,
    Committed,
    Attempts,
    Budget,
    Deadline,
}

impl Stop {
    /// Counts it, tells the callers further up not to repeat what has been repeated here, and
    /// leaves a word for the caller if it was for the budget.
    pub(crate) fn note(self, call: &Call, number: u32, outcome: &mut Outcome) {
        let reason = match self {
            Self::Answered => return,
            Self::Refused => return guard::note_exhausted(),
            Self::Pushback => "pushback",
            Self::Unsafe => "unsafe",
            Self::Committed => "committed",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
        };
        call.stops(number, reason);
        if !matches!(self, Self::Unsafe | Self::Committed) {
            guard::note_exhausted();
        }
        if self == Self::Budget {
            match outcome {
                Ok(response) => {
                    if let Some(end) = Peeked::end(response) {
                        refusal::note_budget_spent(end);
                    }
                }
                Err(status) => {
                    let mut headers = std::mem::take(status.metadata_mut()).into_headers();
                    refusal::note_budget_spent(&mut headers);
                    *status.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
                }
            }
        }
    }
}
