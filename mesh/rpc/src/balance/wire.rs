//! A connection's bytes: when the peer was last heard, and an end for one that is heard no more.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Signs of life of a peer.
#[derive(Debug)]
pub(super) struct Pulse {
    epoch: Instant,
    reads: AtomicU64,
    /// When bytes came last, in milliseconds since the epoch.
    heard: AtomicU64,
    dead: AtomicBool,
}

impl Pulse {
    fn new() -> Self {
        let (reads, heard) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { epoch: Instant::now(), reads, heard, dead: AtomicBool::new(false) }
    }

    /// How often bytes came.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// When bytes came last, to the millisecond below.
    pub(super) fn heard(&self) -> Instant {
        self.epoch + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// Nothing will come any more: whoever reads or writes next is told so.
    pub(super) fn stop(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn beat(&self) {
        let age = self.epoch.elapsed().as_millis();
        self.heard.store(u64::try_from(age).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer answers no ping"));
        }
        Ok(())
    }
}

/// A connection that takes its peer's pulse. Costs a look at the clock for each read.
pub(super) struct Wire<T> {
    io: T,
    pulse: Arc<Pulse>,
}

impl<T> Wire<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, pulse: Arc::new(Pulse::new()) }
    }

    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pulse.check()?;
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        self.pulse.beat();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pulse.check()?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
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
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pulse.check()?;
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
