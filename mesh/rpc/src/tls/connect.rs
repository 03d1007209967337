//! From a fresh connection to one with the right server, that the server wants too.

use std::{future::poll_fn, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{ClientStream, Session, TlsError, client::server_name, config, material::Material};
use crate::peer::SpiffeId;

const LIMIT: Duration = Duration::from_secs(2);
/// Our servers speak at once. For others, who wait for the caller's first word, this is the price
/// of a connection; their verdict then comes with the first call.
const VERDICT: Duration = Duration::from_secs(1);

/// Makes the handshake with our certificate.
pub(super) async fn run<IO>(
    io: IO,
    ours: &Material,
    expected: &SpiffeId,
) -> Result<ClientStream<IO>, TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let config = config::client(ours, expected.clone())
        .map_err(|error| TlsError::Failed(error.to_string()))?;
    let handshake = TlsConnector::from(config).connect(server_name(expected), io);
    let stream = timeout(LIMIT, handshake)
        .await
        .map_err(|_| TlsError::TooSlow(LIMIT))?
        .map_err(|error| TlsError::of(&error))?;
    let session = Session::new(ours.ends, stream.get_ref().1.peer_certificates());
    let mut stream = ClientStream::new(stream, session);
    match timeout(VERDICT, poll_fn(|cx| stream.poll_verdict(cx))).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Ok(stream),
    }
}
