//! What a TCP stream becomes before HTTP/2 is spoken over it: itself, or something over TLS.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::Extensions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::Instant,
};
use tonic::transport::server::TcpConnectInfo;

use super::Socket;
use crate::peer::Connection;

/// What HTTP/2 begins with on the client's side (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What HTTP/2 is spoken over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that was accepted, and what is known about it.
pub struct Accepted {
    /// What HTTP/2 is spoken over.
    pub io: Box<dyn Io>,
    /// Given to every request of the connection: where it comes from, a
    /// [`Connection`]. Without one, a server with an [`Identity`](crate::Identity) believes nobody.
    pub extensions: Extensions,
    /// When the connection must have ended, such as the end of the peer's certificate. It is told
    /// good-bye as long before as calls have to end on one that is old.
    pub ends: Option<Instant>,
}

impl Accepted {
    /// One that is spoken over as it is; `request.remote_addr()` tells the peer's address.
    pub fn plain(socket: Socket, remote: SocketAddr) -> Self {
        let local = socket.local_addr().ok();
        Self::over(Box::new(socket), local, Connection::plaintext(remote), None)
    }

    /// One whose requests tell where they come from, and how that is secured.
    pub(crate) fn over(
        io: Box<dyn Io>,
        local_addr: Option<SocketAddr>,
        connection: Connection,
        ends: Option<Instant>,
    ) -> Self {
        let mut extensions = Extensions::new();
        extensions.insert(TcpConnectInfo { local_addr, remote_addr: Some(connection.from()) });
        extensions.insert(connection);
        Self { io, extensions, ends }
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// Turns accepted TCP streams into what HTTP/2 is spoken over.
pub trait Acceptor: Send + Sync + 'static {
    /// Shakes hands with a peer. The time for it is bounded by the caller; an error closes the
    /// connection, and is the acceptor's to log and count.
    fn accept(
        &self,
        socket: Socket,
        remote: SocketAddr,
    ) -> BoxFuture<'static, io::Result<Accepted>>;
}

/// Without TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plaintext;

impl Acceptor for Plaintext {
    fn accept(
        &self,
        socket: Socket,
        remote: SocketAddr,
    ) -> BoxFuture<'static, io::Result<Accepted>> {
        Box::pin(async move { Ok(Accepted::plain(socket, remote)) })
    }
}

/// A connection whose preface was read already.
pub(super) struct Greeted {
    preface: &'static [u8],
    io: Box<dyn Io>,
}

impl Greeted {
    /// Waits for the preface. A connection without one could not be told good-bye, so it would
    /// hold up a drain (hyperium/hyper#4170).
    pub(super) async fn greet(mut io: Box<dyn Io>) -> io::Result<Self> {
        let mut said = [0; PREFACE.len()];
        io.read_exact(&mut said).await?;
        if said != *PREFACE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no HTTP/2 client"));
        }
        Ok(Self { preface: PREFACE, io })
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.preface.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let (now, later) = self.preface.split_at(self.preface.len().min(buf.remaining()));
        buf.put_slice(now);
        self.preface = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
