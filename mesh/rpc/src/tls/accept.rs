//! From a fresh connection to a secure one.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    ServerStream, Session, TlsError,
    material::Material,
    plaintext::{self, HANDSHAKE},
    stream::Begun,
};

/// A peer that needs longer to say hello is no caller.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection that was refused, and still has to hear so.
pub(super) enum Refused<IO> {
    Plaintext(IO),
    /// The alert is on its way.
    Tls(Begun<IO>),
    Gone,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Refused<IO> {
    /// Closes the connection so that the peer learns why.
    pub(super) async fn part(self) {
        match self {
            Self::Plaintext(io) => plaintext::refuse(io).await,
            Self::Tls(io) => plaintext::linger(io).await,
            Self::Gone => {}
        }
    }
}

/// Makes the handshake with our certificate.
pub(super) async fn run<IO>(
    io: IO,
    ours: &Material,
) -> Result<ServerStream<IO>, (TlsError, Refused<IO>)>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    timeout(LIMIT, handshake(io, ours))
        .await
        .unwrap_or_else(|_| Err((TlsError::TooSlow(LIMIT), Refused::Gone)))
}

async fn handshake<IO>(
    mut io: IO,
    ours: &Material,
) -> Result<ServerStream<IO>, (TlsError, Refused<IO>)>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    // Before the library reads: it would answer plaintext with an alert, which says nothing to
    // somebody who does not speak TLS.
    let first = match io.read_u8().await {
        Ok(HANDSHAKE) => HANDSHAKE,
        Ok(_) => return Err((TlsError::Plaintext, Refused::Plaintext(io))),
        Err(error) => return Err((TlsError::of(&error), Refused::Gone)),
    };
    let begun = Begun::new(first, io);
    let accept = TlsAcceptor::from(Arc::clone(&ours.server)).accept(begun);
    match accept.into_fallible().await {
        Ok(stream) => {
            let session = Session::new(ours.ends, stream.get_ref().1.peer_certificates());
            Ok(ServerStream::new(stream, session))
        }
        Err((error, io)) => Err((TlsError::of(&error), Refused::Tls(io))),
    }
}
