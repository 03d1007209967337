//! What was delivered before and never acknowledged comes back before anything newer is handled.

use std::time::Duration;

use async_nats::jetstream::consumer::{Info, PullConsumer};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Tells when everything that an earlier session left unacknowledged has come back.
#[derive(Debug)]
pub(super) struct Recovery {
    /// Last sequence that was delivered before this session.
    delivered: u64,
    /// How many messages up to it were unacknowledged then.
    awaited: usize,
    /// Until then the broker may still be waiting for an acknowledgement that will not come.
    patience: tokio::time::Instant,
}

impl Recovery {
    pub(super) fn new(info: &Info, ack_wait: Duration) -> Self {
        Self {
            delivered: info.delivered.stream_sequence,
            awaited: info.num_ack_pending,
            patience: tokio::time::Instant::now() + ack_wait + Duration::from_secs(1),
        }
    }

    /// True if nothing older can come any more. `held` says how many unacknowledged messages up to
    /// a sequence are held here; `latest` is what the broker last said about the consumer.
    pub(super) fn is_done(&self, held: impl Fn(u64) -> usize, latest: Option<&Info>) -> bool {
        if held(self.delivered) >= self.awaited {
            return true;
        }
        // Fewer may come back: acknowledgements were still on their way, messages have expired.
        tokio::time::Instant::now() > self.patience
            && latest
                .is_some_and(|info| held(info.delivered.stream_sequence) >= info.num_ack_pending)
    }
}

/// Asks the broker about the consumer again and again.
#[derive(Debug)]
pub(super) struct Inquiry {
    latest: watch::Receiver<Option<Result<Info, String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Inquiry {
    pub(super) fn every(period: Duration, consumer: &PullConsumer) -> Self {
        let (sender, latest) = watch::channel(None);
        let consumer = consumer.clone();
        let task = tokio::spawn(async move {
            while !sender.is_closed() {
                tokio::time::sleep(period).await;
                let info = consumer.get_info().await.map_err(|error| error.to_string());
                sender.send_replace(Some(info));
            }
        });
        Self { latest, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits for the next answer.
    pub(super) async fn next(&mut self) -> Result<Info, String> {
        if self.latest.changed().await.is_err() {
            return Err("the inquiry has ended".to_owned());
        }
        let answer = self.latest.borrow_and_update().clone();
        answer.unwrap_or_else(|| Err("no answer".to_owned()))
    }
}
