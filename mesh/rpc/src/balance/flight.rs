//! One call on its way: counted as pending until its body ends, and judged once.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{
    choose::Candidate,
    pool::{Chosen, Pool},
    verdict::{self, Verdict},
};
use crate::Deadline;

const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Holds the endpoint's pending count, and tells pool and endpoint how the call went. Dropped
/// before it was judged, the caller gave up: that says something only if it took long.
pub(super) struct Flight {
    pool: Arc<Pool>,
    pub(super) candidate: Candidate,
    generation: u64,
    probe: bool,
    /// Picked, then sent.
    begin: Instant,
    sent: bool,
    deadline: Option<Deadline>,
    judged: bool,
    ended: bool,
}

impl Flight {
    pub(super) fn new(pool: Arc<Pool>, chosen: Chosen, deadline: Option<Deadline>) -> Self {
        let Chosen { candidate, generation, probe, at: begin } = chosen;
        candidate.endpoint.pending.fetch_add(1, Ordering::Relaxed);
        let (sent, judged, ended) = (false, false, false);
        Self { pool, candidate, generation, probe, begin, sent, deadline, judged, ended }
    }

    pub(super) fn is_probe(&self) -> bool {
        self.probe
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// The request leaves now.
    pub(super) fn send(&mut self) {
        self.begin = Instant::now();
        self.sent = true;
    }

    /// The call was sent when it was picked, and is answered.
    pub(super) fn conclude(&mut self, code: Code) {
        self.sent = true;
        self.ended(code, None);
    }

    /// The first message is there: whatever comes later, the endpoint works.
    pub(super) fn first_message(&mut self) {
        if !self.judged {
            self.judge(Verdict::Good, None);
        }
    }

    /// The call has ended with `code`, as headers or trailers say.
    pub(super) fn ended(&mut self, code: Code, headers: Option<&HeaderMap>) {
        if self.ended {
            return;
        }
        if !self.judged {
            let verdict = verdict::of_code(code, || self.was_in_time());
            self.judge(verdict, headers.and_then(pushback));
        }
        self.end(verdict::of_code(code, || true) != Verdict::Good && code != Code::Cancelled);
    }

    /// The transport failed.
    pub(super) fn failed(&mut self, status: &Status) {
        if self.ended {
            return;
        }
        if !self.judged {
            let verdict = verdict::of_failure(status, || self.was_in_time());
            self.judge(verdict, None);
        }
        self.end(true);
    }

    fn judge(&mut self, verdict: Verdict, pushback: Option<Duration>) {
        self.judged = true;
        let at = Instant::now();
        let (elapsed, now) = (at - self.begin, self.pool.millis(at));
        let endpoint = &self.candidate.endpoint;
        let values = self.pool.values().balance;
        let observed = match verdict {
            Verdict::Good => {
                endpoint.answered.store(now, Ordering::Relaxed);
                self.pool.latencies.record(elapsed, now);
                Some(elapsed)
            }
            // A quick failure must not look like a quick endpoint.
            Verdict::Hard => Some(elapsed.max(values.penalty)),
            Verdict::Soft => {
                endpoint.answered.store(now, Ordering::Relaxed);
                Some(elapsed.max(pushback.unwrap_or(values.penalty)))
            }
            Verdict::Ignored => None,
        };
        if let Some(observed) = observed {
            endpoint.rtt.observe(observed, now, values.decay);
        }
        if verdict != Verdict::Ignored {
            endpoint.interval.calls.fetch_add(1, Ordering::Relaxed);
            if verdict != Verdict::Good {
                endpoint.interval.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.pool.judge(endpoint, self.generation, verdict, at);
    }

    /// Whether the deadline left the time that this target's answers take, and the endpoint answered
    /// nobody meanwhile: one that did is not at fault for what a single call waited for. A probe is
    /// alone.
    fn was_in_time(&self) -> bool {
        let begin = self.pool.millis(self.begin);
        let answered = self.candidate.endpoint.answered.load(Ordering::Relaxed);
        let since = answered.wrapping_sub(begin);
        if !self.probe && since > 0 && since < 1 << 31 {
            return false;
        }
        let Some(deadline) = self.deadline else { return true };
        let had = deadline.instant().saturating_duration_since(self.begin);
        let now = self.pool.millis(Instant::now());
        self.pool.latencies.p99(now).is_none_or(|needed| had >= needed)
    }

    fn end(&mut self, failed: bool) {
        if self.ended {
            return;
        }
        self.ended = true;
        let endpoint = &self.candidate.endpoint;
        endpoint.pending.fetch_sub(1, Ordering::Relaxed);
        if self.sent {
            endpoint.calls.fetch_add(1, Ordering::Relaxed);
            endpoint.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        }
    }

    /// The caller waits no more.
    fn given_up(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline.instant() <= now) {
            let verdict = verdict::of_code(Code::DeadlineExceeded, || self.was_in_time());
            if verdict != Verdict::Ignored {
                return self.judge(verdict, None);
            }
        }
        let elapsed = now - self.begin;
        let millis = self.pool.millis(now);
        let values = self.pool.values().balance;
        let rtt = &self.candidate.endpoint.rtt;
        let expected = rtt.estimate(millis, values.decay, values.default_rtt);
        if elapsed.as_secs_f32() * 1e6 > expected {
            rtt.observe(elapsed, millis, values.decay);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.sent && !self.judged {
            self.given_up();
        }
        if self.probe && !self.judged {
            self.pool.return_probe(&self.candidate.endpoint, self.generation);
        }
        if !self.ended {
            let late = self.deadline.is_some_and(|deadline| deadline.remaining().is_zero());
            self.end(late);
        }
    }
}

/// How long the callee asks to be left alone.
fn pushback(headers: &HeaderMap) -> Option<Duration> {
    let millis: u64 = headers.get(PUSHBACK)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis.min(300_000)))
}
