//! The right to be the only one that does something.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::session::Request;

/// The right to be the only replica that works on `name`; given back when dropped.
///
/// It only saves work: a holder that was stopped may still act after it lost the lease, so what it
/// does must be refused elsewhere (expected sequence, inbox, versions).
#[derive(Debug)]
pub struct Lease {
    name: Arc<str>,
    lost: CancellationToken,
    requests: mpsc::UnboundedSender<Request>,
}

impl Lease {
    pub(super) fn new(
        name: Arc<str>,
        lost: CancellationToken,
        requests: mpsc::UnboundedSender<Request>,
    ) -> Self {
        Self { name, lost, requests }
    }

    /// Cancelled when the session that holds the lease is gone.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let release = Request::Release { name: Arc::clone(&self.name), lost: self.lost.clone() };
        // Refused only when the service has stopped, and the session with it.
        let _ = self.requests.send(release);
    }
}
