//! Whether a connection has said enough to know what it speaks.

use std::{
    future::pending,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};

/// Bytes of HTTP/2's preface, after which it is sure.
const ENOUGH: usize = 24;

/// What was read of a connection.
#[derive(Debug, Default)]
pub(crate) struct Greeting(AtomicUsize);

impl Greeting {
    /// It is sure: a request came, however short it was.
    pub(crate) fn is_said(&self) {
        self.0.fetch_max(ENOUGH, Relaxed);
    }

    /// Ends if the connection has not said enough by then: neither version's own limits begin before.
    pub(crate) async fn missed(&self, limit: Duration) {
        sleep(limit).await;
        if self.0.load(Relaxed) >= ENOUGH {
            pending::<()>().await;
        }
    }
}

/// A connection whose greeting is followed.
#[derive(Debug)]
pub(crate) struct Heard<IO> {
    inner: IO,
    greeting: Arc<Greeting>,
}

impl<IO> Heard<IO> {
    pub(crate) fn new(inner: IO, greeting: &Arc<Greeting>) -> Self {
        Self { inner, greeting: Arc::clone(greeting) }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Heard<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if self.greeting.0.load(Relaxed) < ENOUGH {
            self.greeting.0.fetch_add(buf.filled().len() - before, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Heard<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
