//! Tells readers in this process that the log has grown.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

/// Wakes whoever waits for new log rows. Cheap to clone; a wake-up is never lost.
#[derive(Clone, Debug)]
pub struct Wake {
    sender: Arc<watch::Sender<u64>>,
}

impl Default for Wake {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(0)) }
    }
}

impl Wake {
    /// Says that rows were committed.
    pub fn notify(&self) {
        self.sender.send_modify(|count| *count += 1);
    }

    /// A waiter that sees every `notify` from now on.
    pub fn waiter(&self) -> Waiter {
        Waiter { receiver: self.sender.subscribe() }
    }
}

/// Waits for wake-ups; made by [`Wake::waiter`].
#[derive(Clone, Debug)]
pub struct Waiter {
    receiver: watch::Receiver<u64>,
}

impl Waiter {
    /// Waits until rows were committed since the last call, or `poll` has passed: other processes
    /// commit too, and nobody here hears of it.
    pub async fn wait(&mut self, poll: Duration) {
        let _ = tokio::time::timeout(poll, self.receiver.changed()).await;
    }
}
