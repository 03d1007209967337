//! Connections to one service by mutual TLS.

use std::{io, net::SocketAddr, sync::Arc};

use http::uri::Scheme;
use tokio::net::TcpStream;

use crate::{
    balance::{Connect, Dialing, Io},
    peer::{NotSpiffe, SpiffeId},
    tls::ClientTls,
};

/// Connects by TCP, and makes the handshake with one service.
pub(super) struct Secure {
    inner: Arc<Inner>,
}

struct Inner {
    tls: ClientTls,
    expected: SpiffeId,
}

impl Secure {
    pub(super) fn new(tls: ClientTls, target: &str) -> Result<Self, NotSpiffe> {
        let expected = tls.id(target)?;
        Ok(Self { inner: Arc::new(Inner { tls, expected }) })
    }
}

impl Connect for Secure {
    fn connect(&self, address: SocketAddr) -> Dialing {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = inner.tls.connect(&inner.expected, stream).await;
            Ok(Box::new(stream.map_err(io::Error::other)?) as Box<dyn Io>)
        })
    }

    fn scheme(&self) -> Scheme {
        Scheme::HTTPS
    }
}
