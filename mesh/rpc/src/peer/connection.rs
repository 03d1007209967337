//! What a call's connection says about its caller.

use std::{net::SocketAddr, sync::Arc};

use crate::tls::Session;

/// Where a connection comes from, and how it is secured. The accept loop puts it into the
/// extensions of each request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    from: SocketAddr,
    session: Option<Arc<Session>>,
}

impl Connection {
    /// A connection in plaintext.
    pub fn plaintext(from: SocketAddr) -> Self {
        Self { from, session: None }
    }

    /// A connection by TLS.
    pub fn secure(from: SocketAddr, session: Arc<Session>) -> Self {
        Self { from, session: Some(session) }
    }

    /// The peer's address.
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// What the TLS handshake established, if there was one.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }
}
