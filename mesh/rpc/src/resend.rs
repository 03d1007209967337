//! Transparent retry: a request that the callee has surely not seen is sent again at once, whatever
//! it does.
//!
//! A request that never left ([`Disposition::NotSent`]) goes again up to three times, or as often
//! as there are endpoints, since each may turn out to be gone before one is found that is there;
//! one that the callee turned away unseen ([`Disposition::Unprocessed`]: its connection was told
//! good-bye, the stream refused) goes again once. Both count over all attempts at a call. Nothing
//! is taken from the [budget](crate::budget): the callee did no work. What one of our own layers
//! refused ([`refusal`](mod@crate::refusal)) is not sent again, and what the callee's own layers refused
//! is the retry's matter: they say when.
//!
//! When every endpoint refused to be connected to there is a short pause, time for one that is just
//! restarting.
//!
//! Cost: nothing for a call that is answered.

use std::{future::Future, sync::Arc, time::Duration};

use http::Response;
use tokio::time::sleep;
use tonic::Status;

use crate::{
    Disposition,
    attempt::{Attempt, Repetition},
    deadline::LEAST,
    disposition,
    jitter::Jitter,
    refusal, transport,
};

/// How often a call is sent again that did not leave.
const NOT_SENT: u32 = 3;
/// How often a call is sent again that the callee turned away unseen.
const UNPROCESSED: u32 = 1;
/// First pause before a call goes again to endpoints that all refuse connections. It doubles.
const PAUSE: Duration = Duration::from_millis(25);

/// Sends again what was not seen.
#[derive(Clone, Debug)]
pub struct Resend {
    endpoints: u32,
    jitter: Arc<Jitter>,
}

impl Default for Resend {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Resend {
    /// For a target with one endpoint, or whose endpoints are not known.
    pub fn new(jitter: Arc<Jitter>) -> Self {
        Self { endpoints: 1, jitter }
    }

    /// For a target with so many endpoints.
    pub fn endpoints(mut self, endpoints: usize) -> Self {
        self.endpoints = u32::try_from(endpoints).unwrap_or(u32::MAX).max(1);
        self
    }

    /// Makes one attempt, which is as many sendings as it takes to be seen.
    pub async fn run<'c, B, F, W>(
        &self,
        attempt: Attempt<'c>,
        send: F,
    ) -> Result<Response<B>, Status>
    where
        F: Fn(Attempt<'c>) -> W,
        W: Future<Output = Result<Response<B>, Status>>,
    {
        let call = attempt.call();
        let mut attempt = attempt;
        let mut refused = 0;
        let mut pause = PAUSE;
        loop {
            let status = match send(attempt).await {
                Ok(response) => return Ok(response),
                Err(status) => status,
            };
            let disposition = disposition(&status);
            if !call.is_repeatable()
                || call.remaining().is_some_and(|left| left < LEAST)
                || call.resends(disposition) >= self.limit(disposition)
                || refusal::is_decided(&status)
            {
                return Err(status);
            }
            refused += u32::from(transport::is_connect_error(&status));
            if refused >= self.endpoints {
                // Every endpoint had its turn.
                let wait = self.jitter.spread(pause);
                if call.remaining().is_some_and(|remaining| wait >= remaining) {
                    return Err(status);
                }
                sleep(wait).await;
                call.paused(wait);
                (refused, pause) = (0, pause * 2);
            }
            call.repeats(attempt.number(), Repetition::Resend(disposition));
            attempt = attempt.resent();
        }
    }

    fn limit(&self, disposition: Disposition) -> u32 {
        match disposition {
            Disposition::NotSent => NOT_SENT.max(self.endpoints),
            Disposition::Unprocessed => UNPROCESSED,
            Disposition::MaybeProcessed => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::body::Body;

    use super::*;
    use crate::attempt::Call;

    #[tokio::test(start_paused = true)]
    async fn what_was_turned_away_unseen_goes_again_once_over_all_attempts() {
        let call = Call::new("turned_away", "Say");
        let sent = Cell::new(0);
        let resend = Resend::default();
        let turn_away = |_: Attempt<'_>| {
            sent.set(sent.get() + 1);
            async { Err::<Response<Body>, _>(transport::unprocessed("turned away")) }
        };

        let status = resend.run(call.attempt(1), turn_away).await.unwrap_err();
        assert_eq!(disposition(&status), Disposition::Unprocessed);
        assert_eq!(sent.get(), 2);

        resend.run(call.attempt(2), turn_away).await.unwrap_err();
        assert_eq!(sent.get(), 3);
    }
}
