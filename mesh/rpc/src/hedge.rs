//! Hedges: a second copy of a slow call, to another endpoint, instead of retries.
//!
//! For methods whose contract allows it, which change nothing. When the first attempt takes longer
//! than 95 % of the successful ones lately did ([`latency`](crate::latency)), another is sent
//! beside it; the first good answer wins, and the others are dropped, which ends them at the callee
//! as well. A failure that would be repeated fires the next at once, or when the callee says; any
//! other answer ends the call, and a negative pushback any further hedge. Losers are no failures:
//! they are in no budget and no latency.
//!
//! Hedges sent for slowness are at most a share of the calls (5 %), and none is sent while the
//! target's [budget](crate::budget) is spent or fewer than 100 successes are known.
//!
//! [`Retries::run`] hedges the calls of a rule that says so ([`Rule::hedge`]).
//!
//! Cost beside that of a retried method: one timer; an allocation when a hedge is sent.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use futures::{StreamExt as _, future::Either, stream::FuturesUnordered};
use http::Response;
use mesh_policy::values;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, body::Body};

use crate::{
    attempt::{Attempt, Call, Repetition},
    deadline::LEAST,
    retry::{Memory, Outcome, Retries, Rule, Stop, Verdict},
};

/// Millionths of a hedge.
const SCALE: f64 = 1e6;
/// Hedges that calls without any may save up.
const SAVINGS: i64 = 10_000_000;

/// How many hedges the calls so far allow.
#[derive(Debug, Default)]
pub(crate) struct Share(AtomicI64);

impl Share {
    fn earn(&self, share: f64) {
        if self.0.load(Relaxed) < SAVINGS {
            self.0.fetch_add((share.clamp(0.0, 1.0) * SCALE) as i64, Relaxed);
        }
    }

    fn spend(&self) -> bool {
        let hedge = SCALE as i64;
        self.0
            .fetch_update(Relaxed, Relaxed, |saved| (saved >= hedge).then_some(saved - hedge))
            .is_ok()
    }
}

/// Makes `call`, hedged.
pub(crate) async fn run<'c, F, W>(
    retries: &Retries,
    memory: &Memory,
    call: &'c Call,
    rule: &Rule,
    values: values::Hedge,
    send: F,
) -> Outcome
where
    F: Fn(Attempt<'c>) -> W,
    W: Future<Output = Result<Response<Body>, Status>>,
{
    memory.share.earn(values.max_share);
    let delay = memory.latency.kept_quantile(values.percentile, values.min_samples);
    let delay = delay.map(|delay| delay.max(values.min_delay));
    let once = |number| {
        let attempt = retries.once(memory, call, rule, number, &send);
        async move { (number, attempt.await) }
    };

    let mut first = pin!(once(1));
    let answered = match delay {
        None => Some(first.as_mut().await),
        Some(delay) => timeout(delay, first.as_mut()).await.ok(),
    };
    let mut race = Race { retries, memory, call, rule, sent: 1, due: None, failed: None };
    let slow = answered.is_none();
    if let Some(answer) = answered
        && let Some(outcome) = race.judge(answer, true)
    {
        return outcome;
    }
    // Only now: it allocates.
    let mut running = FuturesUnordered::new();
    if slow {
        running.push(Either::Left(first));
        race.due = Some(Due { at: Instant::now(), slow });
    }
    loop {
        if let Some(due) = race.due
            && due.at <= Instant::now()
        {
            race.due = None;
            if race.may_send(due.slow) {
                race.sent += 1;
                call.repeats(race.sent, Repetition::Hedge);
                running.push(Either::Right(Box::pin(once(race.sent))));
                race.due = delay.map(|delay| Due { at: due.at + delay, slow: true });
            }
        }
        if running.is_empty() && race.due.is_none() {
            return race.lost();
        }
        let at = race.due.map_or_else(Instant::now, |due| due.at);
        tokio::select! {
            biased;
            Some(answer) = running.next() => {
                if let Some(outcome) = race.judge(answer, running.is_empty()) {
                    return outcome;
                }
            }
            () = sleep_until(at), if race.due.is_some() => {}
        }
    }
}

/// When the next hedge may be sent.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    /// For slowness, which is limited to a share of the calls; otherwise for a failure.
    slow: bool,
}

struct Race<'a> {
    retries: &'a Retries,
    memory: &'a Memory,
    call: &'a Call,
    rule: &'a Rule,
    sent: u32,
    due: Option<Due>,
    /// What the caller gets if none succeeds, and why there was no further attempt after it.
    failed: Option<(Outcome, Stop)>,
}

impl Race<'_> {
    /// Returns the outcome of the call if this answer decides it.
    fn judge(&mut self, answer: (u32, (Outcome, Verdict)), alone: bool) -> Option<Outcome> {
        let (number, (outcome, verdict)) = answer;
        match self.retries.may_repeat(self.call, self.rule, self.sent, verdict) {
            Err(Stop::Answered) => {
                if verdict == Verdict::Success && number > 1 {
                    self.call.hedge_won(number);
                }
                return Some(outcome);
            }
            Err(stop) => {
                // Those under way may still succeed, but no more are sent.
                self.due = None;
                self.sent = self.rule.attempts();
                // A refusal of this side says less than what the callee said before.
                if stop != Stop::Refused || self.failed.is_none() {
                    self.failed = Some((outcome, stop));
                }
                if alone {
                    return Some(self.lost());
                }
            }
            Ok(()) => {
                let pushback = match verdict {
                    Verdict::Repeatable(pushback) => pushback.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                let hopeless = self.call.remaining().is_some_and(|left| pushback >= left);
                let due = Due { at: Instant::now() + pushback, slow: false };
                self.due = (!hopeless).then_some(due);
                let stop = if hopeless { Stop::Deadline } else { Stop::Budget };
                self.failed = Some((outcome, stop));
            }
        }
        None
    }

    fn may_send(&self, slow: bool) -> bool {
        let late = self.call.remaining().is_some_and(|left| left < LEAST);
        if late || self.sent >= self.rule.attempts() {
            return false;
        }
        let stop = if !self.retries.budget().allows() {
            "budget"
        } else if slow && !self.memory.share.spend() {
            "share"
        } else {
            return true;
        };
        if slow {
            self.call.stops(self.sent, stop);
        }
        false
    }

    /// None succeeded.
    fn lost(&mut self) -> Outcome {
        let (mut outcome, stop) = self.failed.take().expect("an attempt has ended");
        stop.note(self.call, self.sent, &mut outcome);
        outcome
    }
}
