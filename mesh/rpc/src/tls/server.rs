//! The server's side of a handshake.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Credentials, ServerStream, TlsError, accept, metrics};

/// Takes connections that begin with TLS. Cheap to clone.
///
/// A caller's certificate is asked for but not demanded: whether a call without one is answered is
/// the [`Authenticator`](crate::peer::Authenticator)'s to say, in words that a caller understands.
#[derive(Clone, Debug)]
pub struct ServerTls {
    credentials: Credentials,
    service: &'static str,
}

impl ServerTls {
    pub(super) fn new(credentials: Credentials, service: &'static str) -> Self {
        Self { credentials, service }
    }

    /// Makes the handshake on a connection that comes `from` there, with the certificate that is
    /// current now.
    ///
    /// Takes at most 10 s, and a second more to let the peer read why it was refused: run it in
    /// the connection's own task. A refusal is logged and counted here. Dropped, it closes the
    /// connection.
    ///
    /// # Errors
    /// If there is no secure connection; the connection is closed then.
    pub async fn accept<IO>(&self, io: IO, from: SocketAddr) -> Result<ServerStream<IO>, TlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let result = accept::run(io, &self.credentials.current()).await;
        metrics::accepted(self.service, result.as_ref().err().map(|(error, _)| error));
        match result {
            Ok(stream) => Ok(stream),
            Err((error, refused)) => {
                self.log(&error, from);
                // Logged first: what was refused should not wait for the peer's leave.
                refused.part().await;
                Err(error)
            }
        }
    }

    /// Who this server is, and until when.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    fn log(&self, error: &TlsError, from: SocketAddr) {
        let service = self.service;
        match error {
            TlsError::Plaintext => {
                tracing::warn!(service, %from, "plaintext refused: this port takes TLS only");
            }
            // Somebody looked whether the port is open, or went away.
            TlsError::Broken(_) => tracing::debug!(service, %from, %error, "handshake ended"),
            _ => tracing::warn!(service, %from, %error, "handshake refused"),
        }
    }
}
