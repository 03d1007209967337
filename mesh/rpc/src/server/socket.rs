//! A connection that is closed so that the last words arrive.
//!
//! A socket that is closed while bytes of the peer are still coming in is reset by the system, and
//! a reset throws away what the peer has not read yet: the good-bye that says which calls were not
//! looked at, or an answer.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    time::timeout,
};

/// Time that a peer has to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// A TCP connection whose reading half outlives it.
#[derive(Debug)]
pub struct Socket {
    /// There until it is dropped.
    read: Option<OwnedReadHalf>,
    write: OwnedWriteHalf,
    rest: Option<oneshot::Sender<OwnedReadHalf>>,
}

/// The reading half of a [`Socket`] that was dropped.
pub(super) struct Rest(oneshot::Receiver<OwnedReadHalf>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> (Self, Rest) {
        let (read, write) = stream.into_split();
        let (rest, dropped) = oneshot::channel();
        (Self { read: Some(read), write, rest: Some(rest) }, Rest(dropped))
    }

    /// Returns the address that the peer connected to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.write.local_addr()
    }
}

impl Rest {
    /// Reads on, for a moment, until the peer has closed its side too.
    pub(super) async fn linger(self) {
        let Ok(mut read) = self.0.await else { return };
        let mut ignored = [0; 1024];
        let _ =
            timeout(LINGER, async { while let Ok(1..) = read.read(&mut ignored).await {} }).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The writing half says that nothing more will come when it is dropped.
        if let (Some(read), Some(rest)) = (self.read.take(), self.rest.take()) {
            let _ = rest.send(read);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.read {
            Some(read) => Pin::new(read).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }
}
