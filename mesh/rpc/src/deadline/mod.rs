//! When a call ends at the latest: one instant, so that waiting anywhere counts.
//!
//! A call's deadline is the earliest of what its caller asks for and what the caller's own caller
//! still waits for, less a margin for the way back ([`Deadline::for_call`]). It is looked at before
//! a queue, behind it ([`within`]), before each attempt, and at each frame of the answer's body
//! ([`Bounded`]); tonic looks at none but the first, and calls it CANCELLED.
//!
//! Inside a handler the deadline lies in a task-local: calls to other services inherit it, pools
//! and queues may read it. Spawned tasks lose it unless [`Deadline::spawn`] begins them.
//!
//! ```
//! use std::time::Duration;
//!
//! use mesh_rpc::{Code, deadline::{Deadline, within}};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let soon = Deadline::after(Duration::from_millis(5));
//! let status = within(Some(soon), std::future::pending::<Result<(), _>>()).await.unwrap_err();
//! assert_eq!(status.code(), Code::DeadlineExceeded);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Cost: two readings of the clock per call and one timer; none without a deadline.

mod body;

use std::{future::Future, time::Duration};

use mesh_runtime::deadline;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tonic::{Code, Request, Status};

pub use self::body::Bounded;
use crate::{guard, refusal::Refusal, transport};

/// With less time left a call is not worth sending.
pub const LEAST: Duration = Duration::from_millis(2);
/// Time that a callee's answer needs to become an answer of ours: a fiftieth of what is left, within
/// these bounds.
const MARGIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// The moment after which nobody waits for a call's answer any more.
///
/// A handler's calls to other services inherit it, less a margin for the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies `timeout` from now.
    pub fn after(timeout: Duration) -> Self {
        Self::from(Instant::now(), timeout)
    }

    /// The deadline that lies `timeout` from `begin`.
    pub(crate) fn from(begin: Instant, timeout: Duration) -> Self {
        // A caller may ask for longer than time lasts; a year is as good.
        let longest = || begin + Duration::from_secs(31_536_000);
        Self(begin.checked_add(timeout).unwrap_or_else(longest))
    }

    /// The deadline at `instant`.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The deadline of a call that asks for `explicit`, made by a handler that must itself have
    /// answered by `inherited`: the earlier one, the inherited less 2 %, 5 to 50 ms.
    pub fn for_call(explicit: Option<Self>, inherited: Option<Self>) -> Option<Self> {
        match (explicit, inherited.map(Self::shrunk)) {
            (Some(explicit), Some(inherited)) => Some(explicit.min(inherited)),
            (one, other) => one.or(other),
        }
    }

    /// Returns the deadline of the call that this task works for. Spawned tasks have none, unless
    /// they were begun by [`spawn`](Self::spawn).
    pub fn current() -> Option<Self> {
        deadline::current().map(Self)
    }

    /// Returns the time left, zero if it has passed.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Returns the moment itself.
    pub fn instant(&self) -> Instant {
        self.0
    }

    /// Refuses a call that could not be answered in time any more ([`LEAST`]).
    ///
    /// Ask before a queue and again behind it.
    pub fn check(&self) -> Result<(), Status> {
        if self.remaining() < LEAST { Err(too_late()) } else { Ok(()) }
    }

    /// Runs `work` as part of a call with this deadline.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        deadline::scope(self.0, work)
    }

    /// Spawns `work` as part of the current call: with its deadline, and with what it learns of
    /// failures that were repeated already ([`guard`]).
    pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let work = guard::inherit(work);
        match Self::current() {
            Some(deadline) => tokio::spawn(deadline.scope(work)),
            None => tokio::spawn(work),
        }
    }

    fn shrunk(self) -> Self {
        let (least, most) = MARGIN;
        let margin = (self.remaining() / 50).clamp(least, most);
        Self(self.0.checked_sub(margin).unwrap_or(self.0))
    }
}

/// Waits for `work`, at most until `deadline`; then it is dropped and the call ends
/// DEADLINE_EXCEEDED, which says nothing about what the callee did.
///
/// With less than [`LEAST`] left nothing is begun and nothing was sent. A call that ends
/// UNAVAILABLE when its time is up ends DEADLINE_EXCEEDED: which came first does not matter, and a
/// proxy may say the one for the other.
pub async fn within<T>(
    deadline: Option<Deadline>,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(deadline) = deadline else { return work.await };
    deadline.check()?;
    match timeout_at(deadline.instant(), work).await {
        Ok(Err(status)) if status.code() == Code::Unavailable && deadline.remaining().is_zero() => {
            Err(exceeded())
        }
        Ok(result) => result,
        Err(_) => Err(exceeded()),
    }
}

/// Makes a request whose call ends after `timeout`, or with the current call if that is sooner.
pub fn timeout_request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Deadline::after(timeout));
    request
}

/// The call was not sent, because no answer would have come in time.
pub(crate) fn too_late() -> Status {
    transport::refused(Refusal::Deadline, "deadline exceeded")
}

/// The call may have been sent, and nobody waits for it any more.
pub(crate) fn exceeded() -> Status {
    transport::gave_up(Code::DeadlineExceeded, "deadline exceeded")
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{Disposition, disposition, refusal::refusal};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_with_its_handler_less_the_way_back() {
        let now = Instant::now();
        let after = |millis| Some(Deadline::at(now + Duration::from_millis(millis)));

        assert_eq!(Deadline::for_call(after(100), after(1000)), after(100));
        assert_eq!(Deadline::for_call(after(2000), after(1000)), after(980), "2 %");
        assert_eq!(Deadline::for_call(None, after(100)), after(95), "at least 5 ms");
        assert_eq!(Deadline::for_call(None, after(60_000)), after(59_950), "at most 50 ms");
        assert_eq!(Deadline::for_call(None, None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_too_long_is_dropped_and_may_have_been_done() {
        let begin = Instant::now();

        let status = within(Some(Deadline::after(SECOND)), pending::<Result<(), _>>()).await;

        let status = status.unwrap_err();
        assert_eq!(begin.elapsed(), SECOND);
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(disposition(&status), Disposition::MaybeProcessed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_is_not_begun() {
        let late = Deadline::after(LEAST - Duration::from_micros(1));

        let status = within(Some(late), async { panic!("begun") as Result<(), Status> }).await;

        let status = status.unwrap_err();
        assert_eq!(refusal(&status), Some(Refusal::Deadline));
        assert_eq!(disposition(&status), Disposition::NotSent);
    }

    #[tokio::test(start_paused = true)]
    async fn unavailable_at_the_deadline_is_the_deadline() {
        let deadline = Deadline::after(SECOND);
        let broken = async || -> Result<(), Status> {
            advance(SECOND).await;
            Err(transport::gave_up(Code::Unavailable, "broken"))
        };

        let status = within(Some(deadline), broken()).await.unwrap_err();

        assert_eq!(status.code(), Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_spawned_part_of_a_call_keeps_its_deadline() {
        let deadline = Deadline::after(SECOND);
        let seen = deadline.scope(async {
            let lost = tokio::spawn(async { Deadline::current() }).await.unwrap();
            let kept = Deadline::spawn(async {
                sleep(SECOND / 2).await;
                Deadline::current()
            });
            (lost, kept.await.unwrap())
        });

        assert_eq!(seen.await, (None, Some(deadline)));
    }
}
