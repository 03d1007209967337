//! Calls that are made again, with the same content, until their answer is final.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_rpc::timeout_request;
use rand::Rng as _;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether the same call can get another answer a moment later.
///
/// A service that has looked at a call and refused it says so with a reason of its own; INTERNAL
/// without one comes from a broken connection. ABORTED is worth repeating only where somebody
/// else was faster, not where the content itself is out of date.
pub fn is_passing(status: &Status) -> bool {
    let reason = mesh_rpc::reason(status);
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Unknown
        | Code::Cancelled => true,
        Code::Internal => reason.is_none(),
        Code::Aborted => reason.as_deref() != Some("CART_CHANGED"),
        _ => false,
    }
}

/// A status as people read it: `ABORTED CART_CHANGED: the cart has changed`.
pub fn said(status: &Status) -> String {
    let reason = mesh_rpc::reason(status).map(|reason| format!(" {reason}")).unwrap_or_default();
    format!("{}{reason}: {}", code_name(status.code()), status.message())
}

/// A code as gRPC spells it.
pub fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Growing pauses, none like that of another caller.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Begins with a short pause.
    pub fn new() -> Backoff {
        Backoff { next: FIRST_PAUSE }
    }

    /// The next pause; twice as long as the last one, up to a second.
    pub fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        pause.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// Waits for the next pause, or until `until` if that is sooner.
    pub async fn pause(&mut self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        sleep(self.next().min(left)).await;
    }
}

/// How long a caller goes on.
#[derive(Clone, Copy, Debug)]
pub struct Persistence<'a> {
    /// When it gives up.
    pub until: Instant,
    /// How long it waits for one answer.
    pub patience: Duration,
    /// Counts the calls that were made again.
    pub retried: &'a AtomicU64,
}

impl Persistence<'_> {
    /// Makes a call until its answer is final.
    pub async fn call<M, T, F>(
        &self,
        method: &'static str,
        message: &M,
        mut call: impl FnMut(Request<M>) -> F,
    ) -> Result<T, GaveUp>
    where
        M: Clone,
        F: Future<Output = Result<T, Status>>,
    {
        let mut backoff = Backoff::new();
        loop {
            let patience = self.patience.min(self.until.saturating_duration_since(Instant::now()));
            match call(timeout_request(message.clone(), patience)).await {
                Ok(answer) => return Ok(answer),
                Err(status) if is_passing(&status) && Instant::now() < self.until => {
                    self.retried.fetch_add(1, Ordering::Relaxed);
                    backoff.pause(self.until).await;
                }
                Err(status) => return Err(GaveUp { method, status }),
            }
        }
    }
}

/// A call that was refused, or had no final answer in time.
#[derive(Debug)]
pub struct GaveUp {
    method: &'static str,
    status: Status,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.method, said(&self.status))
    }
}

impl std::error::Error for GaveUp {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn with_reason(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "orders.shop", HashMap::new());
        Status::with_error_details(code, "said by the service", details)
    }

    fn bare(code: Code) -> Status {
        Status::with_details(code, "said by nobody", bytes::Bytes::new())
    }

    #[test]
    fn what_may_pass_is_repeated_and_what_was_decided_is_not() {
        for code in [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Unknown,
            Code::Cancelled,
            Code::Internal,
        ] {
            assert!(is_passing(&bare(code)), "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::NotFound, Code::FailedPrecondition] {
            assert!(!is_passing(&bare(code)), "{code:?}");
        }
        assert!(is_passing(&with_reason(Code::Aborted, "ORDER_CONTENDED")));
        assert!(!is_passing(&with_reason(Code::Aborted, "CART_CHANGED")));
        assert!(!is_passing(&with_reason(Code::Internal, "ORDER_UNREADABLE")));
    }

    #[test]
    fn a_status_is_read_with_its_code_and_reason() {
        let status = with_reason(Code::FailedPrecondition, "CART_EMPTY");

        assert_eq!(said(&status), "FAILED_PRECONDITION CART_EMPTY: said by the service");
        assert_eq!(said(&bare(Code::Ok)), "OK: said by nobody");
    }

    #[test]
    fn pauses_grow_up_to_a_second() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.next()).collect();

        assert!(pauses[0] <= FIRST_PAUSE);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(pauses[11] >= LONGEST_PAUSE / 2);
    }
}
