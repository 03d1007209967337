//! The server's connections by TLS.

use std::{io, net::SocketAddr, sync::Arc};

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    peer::Connection,
    server::{Accepted, Acceptor, Socket},
    tls::ServerTls,
};

/// Takes TLS only. The socket under it is closed as one in plaintext is: so that the last words
/// arrive.
pub(crate) struct Secure {
    tls: ServerTls,
}

impl Secure {
    pub(super) fn new(tls: ServerTls) -> Self {
        Self { tls }
    }
}

impl Acceptor for Secure {
    fn accept(
        &self,
        socket: Socket,
        remote: SocketAddr,
    ) -> BoxFuture<'static, io::Result<Accepted>> {
        let tls = self.tls.clone();
        Box::pin(async move {
            let local = socket.local_addr().ok();
            let stream = tls.accept(socket, remote).await.map_err(io::Error::other)?;
            let session = Arc::clone(stream.session());
            // What either side showed is worth nothing after its end, nor is what came of it.
            let ends = Instant::now() + session.remaining();
            let connection = Connection::secure(remote, session);
            Ok(Accepted::over(Box::new(stream), local, connection, Some(ends)))
        })
    }
}
