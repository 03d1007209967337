//! One event, from its delivery to its end: applied, or a dead letter.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use mesh_runtime::trace;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Work;
use crate::{
    Claim, HandleError, Incoming,
    backoff::Backoff,
    dead_letters::{self, Letter, Reason},
    envelope::Envelope,
};

/// Where the deliveries of one session run.
#[derive(Clone)]
pub(super) struct Lanes {
    pub(super) work: Arc<Work>,
    pub(super) permits: Arc<Semaphore>,
    /// Cancelled when the session ends: what has not begun is left to the next one.
    pub(super) ending: CancellationToken,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Applied, here or before, or a dead letter: to be acknowledged.
    Settled,
    /// The session ended first.
    Abandoned,
}

/// What one attempt led to.
enum Attempt {
    Settled,
    Failed(String),
    Unavailable(String),
}

impl Lanes {
    /// Brings one event to its end, however often that has to be tried.
    pub(super) async fn deliver(self, envelope: Envelope, deliveries: i64) -> End {
        let options = &self.work.options;
        let mut backoff = Backoff::new(options.retry_pause);
        let (mut failures, mut last_error) = (0, String::new());
        loop {
            let permit = tokio::select! {
                biased;
                () = self.ending.cancelled() => return End::Abandoned,
                permit = self.permits.acquire() => permit,
            };
            let doom = (failures >= options.attempts || deliveries > options.deliveries)
                .then(|| hopeless(failures, deliveries, &last_error));
            match self.attempt(&envelope, doom, failures).await {
                Attempt::Settled => return End::Settled,
                Attempt::Failed(error) => {
                    failures += 1;
                    self.work.gauges.failed();
                    tracing::warn!(event = %envelope.id(), key = envelope.key(), failures, %error,
                        "event failed");
                    last_error = error;
                }
                Attempt::Unavailable(error) => {
                    tracing::warn!(event = %envelope.id(), key = envelope.key(), %error,
                        "event waits for what is away");
                }
            }
            drop(permit);
            tokio::select! {
                () = self.ending.cancelled() => return End::Abandoned,
                () = tokio::time::sleep(backoff.step()) => {}
            }
        }
    }

    async fn attempt(&self, envelope: &Envelope, doom: Option<String>, failures: u32) -> Attempt {
        let work = &*self.work;
        let letter = |reason, error| Letter { envelope, reason, error, attempts: failures };
        if !envelope.key().is_empty() && work.blocked().contains(envelope.key()) {
            match dead_letters::put_behind(&work.db, envelope).await {
                Ok(true) => return self.buried(envelope, Reason::Behind),
                Ok(false) => work.blocked().remove(envelope.key()),
                Err(error) => return Attempt::Unavailable(error.to_string()),
            };
        }
        let event = match envelope.event() {
            Ok(event) => event,
            Err(error) => return self.bury(letter(Reason::Undecodable, error)).await,
        };
        if OffsetDateTime::now_utc() - event.time > work.options.horizon {
            let error = format!("recorded at {}", event.time);
            return self.bury(letter(Reason::Expired, error)).await;
        }
        if let Some(error) = doom {
            return self.bury(letter(Reason::Failed, error)).await;
        }
        match self.handle(event).await {
            Ok(()) => {
                work.gauges.handled();
                Attempt::Settled
            }
            Err(HandleError::Undecodable(error)) => {
                self.bury(letter(Reason::Undecodable, error)).await
            }
            Err(HandleError::Failed(error)) => Attempt::Failed(error.to_string()),
            Err(HandleError::Unavailable(error)) => Attempt::Unavailable(error.to_string()),
        }
    }

    /// Calls the handler, in the trace of the event. Its panic is a failure of the event.
    async fn handle(&self, event: Incoming) -> Result<(), HandleError> {
        let work = &*self.work;
        // It has the level of errors, so that a quieter log does not cost the trace.
        let span = || {
            tracing::error_span!("consume", event = %event.id, kind = event.kind,
                key = %event.key, version = event.version, stream = work.stream,
                correlation_id = event.story())
        };
        let span = trace::begin(event.meta.traceparent.parse().ok(), span);
        let claim = Claim::new(work.stream, event.id);
        let handled = async { work.handler.handle(event, claim).await }.instrument(span);
        let handled = AssertUnwindSafe(handled).catch_unwind();
        match tokio::time::timeout(work.options.attempt_limit, handled).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(_)) => Err(HandleError::failed("the handler panicked")),
            Err(_) => Err(HandleError::failed("the handler took too long")),
        }
    }

    async fn bury(&self, letter: Letter<'_>) -> Attempt {
        let (envelope, reason) = (letter.envelope, letter.reason);
        match dead_letters::bury(&self.work.db, &letter).await {
            Ok(true) => self.buried(envelope, reason),
            // It had taken effect, or was a dead letter, before: only the acknowledgement was lost, or the
            // answer to this. If it is one, others wait behind it; who comes next finds out.
            Ok(false) => {
                self.block(envelope);
                Attempt::Settled
            }
            Err(error) => Attempt::Unavailable(error.to_string()),
        }
    }

    fn block(&self, envelope: &Envelope) {
        if !envelope.key().is_empty() {
            self.work.blocked().insert(envelope.key().to_owned());
        }
    }

    fn buried(&self, envelope: &Envelope, reason: Reason) -> Attempt {
        self.block(envelope);
        self.work.gauges.buried();
        tracing::warn!(event = %envelope.id(), key = envelope.key(), reason = reason.as_str(),
            "event is a dead letter");
        Attempt::Settled
    }
}

fn hopeless(failures: u32, deliveries: i64, last_error: &str) -> String {
    if failures > 0 {
        last_error.to_owned()
    } else {
        format!("delivered {deliveries} times and never brought to an end")
    }
}
