//! A call and its attempts: what each attempt is told, and what is counted over all of them.
//!
//! The layers that repeat work over any function of an [`Attempt`] that sends the request once:
//!
//! - [`retry`](crate::retry) after an answer that the contract calls safe to repeat,
//! - [`hedge`](crate::hedge) instead, beside an answer that takes long,
//! - [`resend`](crate::resend) inside of both, while the callee has surely not seen it.
//!
//! ```
//! use http::{HeaderMap, Response};
//! use mesh_rpc::{
//!     attempt::{Attempt, Call},
//!     resend::Resend,
//!     retry::{Retries, Rule},
//! };
//! use tonic::{Status, body::Body};
//!
//! # async fn send(_: HeaderMap) -> Result<Response<Body>, Status> { Ok(Response::default()) }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let retries = Retries::default(); // one per target
//! let rule = Rule::default().idempotent(); // one per method
//!
//! let call = Call::new("echo", "echo.v1.EchoService/Read");
//! let resend = Resend::default();
//! let once = |attempt: Attempt<'_>| {
//!     let mut headers = HeaderMap::new();
//!     attempt.write(&mut headers);
//!     send(headers)
//! };
//! let answer = retries.run(&call, rule, |attempt| resend.run(attempt, once)).await;
//! # answer.unwrap();
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

mod first;
mod telemetry;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::StringValue;

use self::first::First;
pub(crate) use self::telemetry::{Repetition, observe};
use crate::{Deadline, balance::Tried, grpc_timeout};

/// How often the call was attempted before (gRFC A6); absent from the first attempt.
const PREVIOUS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// One call of a client, however often it is sent.
///
/// When it is dropped, what its repetition cost is recorded (gRFC A96): the histograms
/// `grpc.client.call.retries`, `.transparent_retries`, `.hedges` and, in seconds, `.retry_delay`,
/// with `grpc.target` and `grpc.method`. A call that was sent once records nothing.
#[derive(Debug)]
pub struct Call {
    target: StringValue,
    method: StringValue,
    deadline: Option<Deadline>,
    repeatable: bool,
    tried: Tried,
    retries: AtomicU32,
    hedges: AtomicU32,
    not_sent: AtomicU32,
    unprocessed: AtomicU32,
    /// In microseconds.
    paused: AtomicU64,
    first: First,
}

impl Call {
    /// A call of `method` (`package.Service/Method`) of the service `target`, with no deadline, whose
    /// request can be sent again.
    pub fn new(target: impl Into<Name>, method: impl Into<Name>) -> Self {
        Self {
            target: target.into().0,
            method: method.into().0,
            deadline: None,
            repeatable: true,
            tried: Tried::default(),
            retries: AtomicU32::new(0),
            hedges: AtomicU32::new(0),
            not_sent: AtomicU32::new(0),
            unprocessed: AtomicU32::new(0),
            paused: AtomicU64::new(0),
            first: First::default(),
        }
    }

    /// Gives it a deadline over all its attempts. The layers do not wait beyond it; that the attempts
    /// themselves end is [`within`](crate::deadline::within)'s.
    pub fn deadline(mut self, deadline: Option<Deadline>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Says whether its request was kept so that it can be sent again
    /// ([`Payload::is_repeatable`](crate::replay::Payload::is_repeatable)).
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = repeatable;
        self
    }

    /// Returns how often it was sent again so far, by any layer.
    pub fn repetitions(&self) -> u32 {
        [&self.retries, &self.hedges, &self.not_sent, &self.unprocessed]
            .map(|count| count.load(Relaxed))
            .into_iter()
            .sum()
    }

    /// The first attempt at it.
    pub fn first(&self) -> Attempt<'_> {
        Attempt { call: self, number: 1, resend: 0 }
    }

    pub(crate) fn attempt(&self, number: u32) -> Attempt<'_> {
        Attempt { call: self, number, resend: 0 }
    }

    pub(crate) fn method(&self) -> &str {
        self.method.as_str()
    }

    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.remaining())
    }

    pub(crate) fn paused(&self, pause: Duration) {
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        self.paused.fetch_add(micros, Relaxed);
    }
}

/// One sending of a call, or what a repeating layer inside makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'c> {
    call: &'c Call,
    number: u32,
    resend: u32,
}

impl<'c> Attempt<'c> {
    /// Which attempt it is, from 1: retries and hedges count, re-sends do not.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How often this attempt was sent before without the callee seeing it.
    pub fn resends(&self) -> u32 {
        self.resend
    }

    /// Endpoints that the call went to so far, by any attempt: for
    /// [`Balancer::pick`](crate::balance::Balancer::pick), which picks another if it can.
    pub fn tried(&self) -> &'c Tried {
        &self.call.tried
    }

    /// When the whole call ends at the latest.
    pub fn deadline(&self) -> Option<Deadline> {
        self.call.deadline
    }

    /// The time left for the whole call; none without a deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.call.remaining()
    }

    /// Writes what the callee should know: `grpc-timeout` with the time left, and
    /// `grpc-previous-rpc-attempts` from the second attempt on.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Some(remaining) = self.remaining() {
            grpc_timeout::write(headers, remaining);
        }
        match self.number {
            0 | 1 => _ = headers.remove(PREVIOUS),
            number => _ = headers.insert(PREVIOUS, HeaderValue::from(number - 1)),
        }
    }

    pub(crate) fn call(&self) -> &'c Call {
        self.call
    }

    pub(crate) fn resent(self) -> Self {
        Self { resend: self.resend + 1, ..self }
    }
}

/// The name of a target or method in metrics: shared, or static.
#[derive(Clone, Debug)]
pub struct Name(StringValue);

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self(name.into())
    }
}

impl From<Arc<str>> for Name {
    fn from(name: Arc<str>) -> Self {
        Self(name.into())
    }
}

impl From<StringValue> for Name {
    fn from(name: StringValue) -> Self {
        Self(name)
    }
}

impl From<Name> for StringValue {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_attempt_tells_what_went_before_and_what_time_is_left() {
        let deadline = Deadline::after(Duration::from_millis(250));
        let call = Call::new("catalog", "Get").deadline(Some(deadline));
        let mut headers = HeaderMap::new();

        call.attempt(3).write(&mut headers);
        assert_eq!(headers[PREVIOUS], "2");
        assert_eq!(headers["grpc-timeout"], "250000u");

        call.first().write(&mut headers);
        assert!(!headers.contains_key(PREVIOUS));
    }
}
