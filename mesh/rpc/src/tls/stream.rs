//! Secure connections, as whatever speaks HTTP/2 reads and writes them.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server};

use super::{Session, TlsError};

/// The server's end of a secure connection.
#[derive(Debug)]
pub struct ServerStream<IO> {
    tls: server::TlsStream<Begun<IO>>,
    session: Arc<Session>,
}

/// The caller's end of a secure connection.
#[derive(Debug)]
pub struct ClientStream<IO> {
    tls: client::TlsStream<IO>,
    session: Arc<Session>,
}

/// A connection whose first byte was read already.
#[derive(Debug)]
pub(super) struct Begun<IO> {
    first: Option<u8>,
    io: IO,
}

impl<IO> ServerStream<IO> {
    pub(super) fn new(tls: server::TlsStream<Begun<IO>>, session: Session) -> Self {
        Self { tls, session: Arc::new(session) }
    }

    /// What the handshake established.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The connection underneath.
    pub fn get_ref(&self) -> &IO {
        &self.tls.get_ref().0.io
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> ClientStream<IO> {
    pub(super) fn new(tls: client::TlsStream<IO>, session: Session) -> Self {
        Self { tls, session: Arc::new(session) }
    }

    /// What the handshake established.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The connection underneath.
    pub fn get_ref(&self) -> &IO {
        self.tls.get_ref().0
    }

    /// Waits for the server's verdict on our certificate: its first word.
    pub(super) fn poll_verdict(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        let verdict = match Pin::new(&mut self.tls).poll_fill_buf(cx) {
            Poll::Ready(Ok([])) => Err(closed()),
            Poll::Ready(Ok(_)) => Ok(()),
            Poll::Ready(Err(error)) => Err(TlsError::of(&error)),
            Poll::Pending => {
                // A ticket is a word, too; it comes after the verdict (RFC 8446 §4.6.1).
                let spoken = self.tls.get_ref().1.tls13_tickets_received() > 0;
                return if spoken { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        };
        Poll::Ready(verdict)
    }
}

impl<IO> Begun<IO> {
    pub(super) fn new(first: u8, io: IO) -> Self {
        Self { first: Some(first), io }
    }
}

/// A server that goes away without a word was stopping.
fn closed() -> TlsError {
    TlsError::Broken(io::ErrorKind::UnexpectedEof)
}

/// An alert about our certificate keeps its meaning in the kind: HTTP/2 hands on nothing else.
fn kept(error: io::Error) -> io::Error {
    match TlsError::of(&error) {
        refused @ TlsError::Refused(_) => io::Error::new(io::ErrorKind::PermissionDenied, refused),
        _ => error,
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Begun<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buf.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for ServerStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(Pin::new(&mut self.tls).poll_read(cx, buf)).map_err(kept))
    }
}

/// Writing is the inner stream's.
macro_rules! writes_to {
    ($field:ident of $stream:ident) => {
        impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $stream<IO> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_shutdown(cx)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$field.is_write_vectored()
            }
        }
    };
}

writes_to!(io of Begun);
writes_to!(tls of ServerStream);
writes_to!(tls of ClientStream);
