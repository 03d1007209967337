//! How an address becomes a connection: TCP here, TLS by who knows it.

use std::{future::Future, io, net::SocketAddr, pin::Pin};

use http::uri::Scheme;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// What a connection is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection in the making.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Makes connections. Every closure from an address to a future of one is a `Connect`:
///
/// ```
/// use mesh_rpc::balance::Connect;
/// use tokio::net::TcpStream;
///
/// fn plain() -> impl Connect {
///     |address| async move { TcpStream::connect(address).await }
/// }
/// ```
///
/// It needs no time limit of its own: the balancer gives up after
/// [`Connection::connect`](mesh_policy::values::Connection::connect). Over TLS it ends when the
/// handshake has, with ALPN `h2`.
pub trait Connect: Send + Sync + 'static {
    /// Begins to connect to `address`.
    fn connect(&self, address: SocketAddr) -> Dialing;

    /// The scheme that calls name: `https` over TLS.
    fn scheme(&self) -> Scheme {
        Scheme::HTTP
    }
}

impl<F, D, T> Connect for F
where
    F: Fn(SocketAddr) -> D + Send + Sync + 'static,
    D: Future<Output = io::Result<T>> + Send + 'static,
    T: Io,
{
    fn connect(&self, address: SocketAddr) -> Dialing {
        let dialing = self(address);
        Box::pin(async { Ok(Box::new(dialing.await?) as Box<dyn Io>) })
    }
}

impl Connect for Box<dyn Connect> {
    fn connect(&self, address: SocketAddr) -> Dialing {
        (**self).connect(address)
    }

    fn scheme(&self) -> Scheme {
        (**self).scheme()
    }
}

/// Connects in plaintext, without Nagle's delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect(&self, address: SocketAddr) -> Dialing {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}
