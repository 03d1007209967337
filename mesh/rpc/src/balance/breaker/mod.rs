//! Whether an endpoint's answers let it take calls: the rules, without a clock or a socket.

mod window;

use std::time::Duration;

use mesh_policy::values;
use tokio::time::Instant;

use super::verdict::Verdict;
use window::Window;

/// The three states of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Circuit {
    /// Calls pass.
    Closed,
    /// No call passes until a window is over.
    Open,
    /// One call passes and decides.
    HalfOpen,
}

impl Circuit {
    /// The state's name in metrics, events and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        }
    }
}

/// Why a breaker is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    New,
    Consecutive,
    SuccessRate,
    Outlier,
    Unreachable,
    WindowOver,
    ProbeFailed,
    ProbeSilent,
    ProbeSucceeded,
    Connected,
    OthersGone,
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Consecutive => "consecutive failures",
            Self::SuccessRate => "success rate",
            Self::Outlier => "outlier",
            Self::Unreachable => "unreachable",
            Self::WindowOver => "window over",
            Self::ProbeFailed => "probe failed",
            Self::ProbeSilent => "probe not answered",
            Self::ProbeSucceeded => "probe succeeded",
            Self::Connected => "connected",
            Self::OthersGone => "others gone",
        }
    }
}

/// What follows from a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// It should open; whether it may depends on the other endpoints.
    Trip(Reason),
    /// The state changed.
    Changed,
}

/// The breaker of one endpoint.
///
/// Every state and every probe has a generation. A verdict counts only with the current one, so
/// that what an older call says is never taken for the probe's answer.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    generation: u64,
    reason: Reason,
    consecutive: u32,
    /// Connections in a row that could not be made.
    unreached: u32,
    window: Window,
    /// Windows in a row that ended with a failure.
    trips: u32,
    /// Whether it takes an answer to close it, or a connection is enough.
    needs_call: bool,
    closed_at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { probe_until: Option<Instant> },
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Closed,
            generation: 1,
            reason: Reason::New,
            consecutive: 0,
            unreached: 0,
            window: Window::new(now),
            trips: 0,
            needs_call: false,
            closed_at: now,
        }
    }

    pub(super) fn circuit(&self) -> Circuit {
        match self.state {
            State::Closed => Circuit::Closed,
            State::Open { .. } => Circuit::Open,
            State::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    /// Takes in what a call of `generation` says.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        generation: u64,
        verdict: Verdict,
        values: &values::Breaker,
        jitter: f64,
    ) -> Effect {
        if generation != self.generation {
            return Effect::Nothing;
        }
        match self.state {
            State::Closed => self.count(now, verdict, values),
            State::HalfOpen { probe_until: Some(_) } => self.decide(now, verdict, values, jitter),
            State::Open { .. } | State::HalfOpen { probe_until: None } => Effect::Nothing,
        }
    }

    fn count(&mut self, now: Instant, verdict: Verdict, values: &values::Breaker) -> Effect {
        match verdict {
            Verdict::Ignored => return Effect::Nothing,
            Verdict::Soft => {
                self.consecutive = 0;
                return Effect::Nothing;
            }
            Verdict::Good => self.consecutive = 0,
            Verdict::Hard => self.consecutive += 1,
        }
        let counts = self.window.add(now, values.window, verdict == Verdict::Good);
        if self.consecutive >= values.consecutive {
            return Effect::Trip(Reason::Consecutive);
        }
        let Some((good, bad)) = counts else { return Effect::Nothing };
        let enough = good + bad >= values.min_calls;
        if enough && f64::from(good) < values.min_success * f64::from(good + bad) {
            return Effect::Trip(Reason::SuccessRate);
        }
        Effect::Nothing
    }

    fn decide(
        &mut self,
        now: Instant,
        verdict: Verdict,
        values: &values::Breaker,
        jitter: f64,
    ) -> Effect {
        match verdict {
            Verdict::Good => self.close(now, Reason::ProbeSucceeded),
            Verdict::Hard => self.open(now, Reason::ProbeFailed, values, jitter),
            Verdict::Soft | Verdict::Ignored => {
                self.return_probe(self.generation);
                return Effect::Nothing;
            }
        }
        Effect::Changed
    }

    /// Opens it, if it is closed and still the one of `generation`. `jitter` is 0.8 to 1.2.
    pub(super) fn trip(
        &mut self,
        now: Instant,
        generation: u64,
        reason: Reason,
        values: &values::Breaker,
        jitter: f64,
    ) -> bool {
        if generation != self.generation || !matches!(self.state, State::Closed) {
            return false;
        }
        // One that stayed closed for a whole window starts over.
        if now > self.closed_at + values.window {
            self.trips = 0;
        }
        self.open(now, reason, values, jitter);
        true
    }

    /// Lets calls pass although they fail: too many endpoints are out already.
    pub(super) fn spare(&mut self, now: Instant) {
        self.consecutive = 0;
        self.window = Window::new(now);
    }

    /// Takes in that no connection could be made; it is judged like a call.
    pub(super) fn unreachable(
        &mut self,
        now: Instant,
        values: &values::Breaker,
        jitter: f64,
    ) -> Effect {
        match self.state {
            State::Closed => {
                self.unreached += 1;
                if self.unreached < values.consecutive {
                    return Effect::Nothing;
                }
                self.trip(now, self.generation, Reason::Unreachable, values, jitter);
            }
            State::Open { .. } => return Effect::Nothing,
            State::HalfOpen { .. } => self.open(now, Reason::Unreachable, values, jitter),
        }
        Effect::Changed
    }

    /// Takes in that a connection was made. It is what an endpoint was out for that could not be
    /// reached; what answers said is for a call to disprove.
    pub(super) fn connected(&mut self, now: Instant) -> Effect {
        self.unreached = 0;
        if self.needs_call || matches!(self.state, State::Closed) {
            return Effect::Nothing;
        }
        self.close(now, Reason::Connected);
        Effect::Changed
    }

    /// Ends the window of one that could not be reached: nobody else is left, and it may be back
    /// for long. The next failure opens it again. Returns whether it was so.
    pub(super) fn reconsider(&mut self, now: Instant, values: &values::Breaker) -> bool {
        if self.needs_call || !matches!(self.state, State::Open { .. }) {
            return false;
        }
        self.close(now, Reason::OthersGone);
        self.unreached = values.consecutive.saturating_sub(1);
        true
    }

    /// When something happens by itself: a window ends, or a probe has taken too long.
    pub(super) fn next_event(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open { until } => Some(until),
            State::HalfOpen { probe_until } => probe_until,
        }
    }

    /// Does what is due. Returns true if a probe may go now.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        match self.state {
            State::Open { until } if until <= now => {
                self.generation += 1;
                self.state = State::HalfOpen { probe_until: None };
                self.reason = Reason::WindowOver;
                true
            }
            State::HalfOpen { probe_until: Some(until) } if until <= now => {
                self.generation += 1;
                self.state = State::HalfOpen { probe_until: None };
                self.reason = Reason::ProbeSilent;
                true
            }
            _ => false,
        }
    }

    /// Takes the one permit for a probe, if it is there. Returns the probe's generation.
    pub(super) fn take_probe(&mut self, now: Instant, values: &values::Breaker) -> Option<u64> {
        let State::HalfOpen { probe_until: None } = self.state else { return None };
        self.generation += 1;
        let patience = length(self.trips.saturating_sub(1), values);
        self.state = State::HalfOpen { probe_until: Some(now + patience) };
        Some(self.generation)
    }

    /// Gives the permit back unused. Returns true if it was still that probe's.
    pub(super) fn return_probe(&mut self, generation: u64) -> bool {
        let State::HalfOpen { probe_until: Some(_) } = self.state else { return false };
        if generation != self.generation {
            return false;
        }
        self.generation += 1;
        self.state = State::HalfOpen { probe_until: None };
        true
    }

    fn open(&mut self, now: Instant, reason: Reason, values: &values::Breaker, jitter: f64) {
        let until = now + length(self.trips, values).mul_f64(jitter).min(values.max_open);
        if matches!(self.state, State::Closed) {
            self.needs_call = reason != Reason::Unreachable;
        }
        self.trips += 1;
        self.generation += 1;
        self.state = State::Open { until };
        self.reason = reason;
    }

    fn close(&mut self, now: Instant, reason: Reason) {
        self.generation += 1;
        self.state = State::Closed;
        self.reason = reason;
        self.closed_at = now;
        self.spare(now);
    }
}

/// How long it is open after `trips` windows in a row.
fn length(trips: u32, values: &values::Breaker) -> Duration {
    let factor = 2_u32.saturating_pow(trips.min(16));
    values.open.saturating_mul(factor).min(values.max_open)
}

#[cfg(test)]
mod tests;
