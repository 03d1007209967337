//! Where a target's endpoints are, as that changes.

use std::{
    future::{Future, pending},
    net::SocketAddr,
    sync::Arc,
};

use tokio::sync::watch;

use crate::discovery::{Endpoints, Snapshot};

/// A set of addresses that may change. A [`watch::Receiver`] of one is an `Addresses`, and so is a
/// list that never changes.
pub trait Addresses: Send + 'static {
    /// The addresses now. Doubles count once.
    fn current(&mut self) -> Arc<[SocketAddr]>;

    /// Waits for other addresses; false if there will be none. Dropping the future loses nothing.
    fn changed(&mut self) -> impl Future<Output = bool> + Send;

    /// Hears that an address could not be connected to: a hint to look again.
    fn connect_failed(&self) {}
}

impl Addresses for watch::Receiver<Arc<[SocketAddr]>> {
    fn current(&mut self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.borrow_and_update())
    }

    async fn changed(&mut self) -> bool {
        watch::Receiver::changed(self).await.is_ok()
    }
}

/// Follows endpoints, and has them looked up again when one cannot be connected to.
pub(crate) struct Followed {
    endpoints: Endpoints,
    changes: watch::Receiver<Snapshot>,
}

impl From<&Endpoints> for Followed {
    fn from(endpoints: &Endpoints) -> Self {
        Self { endpoints: endpoints.clone(), changes: endpoints.watch() }
    }
}

impl Addresses for Followed {
    fn current(&mut self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.changes.borrow_and_update().addresses)
    }

    async fn changed(&mut self) -> bool {
        self.changes.changed().await.is_ok()
    }

    fn connect_failed(&self) {
        self.endpoints.connect_failed();
    }
}

impl Addresses for Arc<[SocketAddr]> {
    fn current(&mut self) -> Arc<[SocketAddr]> {
        Arc::clone(self)
    }

    async fn changed(&mut self) -> bool {
        pending().await
    }
}

impl Addresses for Vec<SocketAddr> {
    fn current(&mut self) -> Arc<[SocketAddr]> {
        self.as_slice().into()
    }

    async fn changed(&mut self) -> bool {
        pending().await
    }
}
