//! The calls' end of a connection: which of them have a stream, and which wait for one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use h2::{SendStream, client};
use http::Request;
use tokio::{sync::Semaphore, time::timeout_at};
use tonic::{Code, Status};

use super::{connection::End, names::Names};
use crate::{Deadline, transport, turn::Turn};

/// Opens streams. Dropped, the connection ends when its calls have.
pub(super) struct Link {
    sender: client::SendRequest<Bytes>,
    /// Streams that may be opened now; closed when the peer takes no more.
    slots: Semaphore,
    granted: AtomicUsize,
    max_streams: AtomicU32,
    turn: Arc<Turn>,
    names: Names,
}

/// The right to have one stream open. h2 would queue what is above the peer's limit as well, but
/// sends what it has queued even if nobody waits for it any more.
pub(super) struct Slot(Arc<Link>);

/// A stream: the answer to come, and the request's body to go.
pub(super) type Stream = (client::ResponseFuture, SendStream<Bytes>);

impl Link {
    /// No stream may be opened before the peer has spoken.
    pub(super) fn new(sender: client::SendRequest<Bytes>, turn: Arc<Turn>) -> Self {
        let (granted, max_streams) = (AtomicUsize::new(0), AtomicU32::new(u32::MAX));
        let (slots, names) = (Semaphore::new(0), Names::default());
        Self { sender, slots, granted, max_streams, turn, names }
    }

    /// Whether the peer takes no more calls on this connection.
    pub(super) fn is_closing(&self) -> bool {
        self.slots.is_closed()
    }

    /// Whether calls are under way.
    pub(super) fn is_busy(&self) -> bool {
        self.granted.load(Ordering::Relaxed) > self.slots.available_permits()
    }

    /// Calls that the peer lets run at once; more wait on this side.
    pub(super) fn max_streams(&self) -> u32 {
        self.max_streams.load(Ordering::Relaxed)
    }

    /// Takes the peer's limit over. Of slots that it withdraws those in use go when they are given
    /// back, at the next call of this.
    pub(super) fn limit(&self, max: usize) {
        self.max_streams.store(u32::try_from(max).unwrap_or(u32::MAX), Ordering::Relaxed);
        let max = max.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let granted = self.granted.load(Ordering::Relaxed);
        let now = if max >= granted {
            self.slots.add_permits(max - granted);
            max
        } else {
            granted - self.slots.forget_permits(granted - max)
        };
        self.granted.store(now, Ordering::Relaxed);
    }

    /// Lets no more streams be opened, and sends those away who wait for one.
    pub(super) fn close(&self) {
        self.slots.close();
    }

    /// How the connection ended, if it takes no more calls.
    pub(super) fn end(&self) -> Option<End> {
        let mut sender = self.sender.clone();
        match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) if error.is_io() => Some(End::Lost),
            Poll::Ready(Err(error)) if error.is_remote() => {
                Some(End::GoAway(error.reason().map_or(0, u32::from)))
            }
            // It has had all the streams that it can number.
            Poll::Ready(Err(_)) => Some(End::GoAway(0)),
            _ => None,
        }
    }

    /// Waits until a stream may be opened, at most until `deadline`. Dropping the future leaves no
    /// trace.
    pub(super) async fn slot(self: Arc<Self>, deadline: Option<Deadline>) -> Result<Slot, Status> {
        match self.slots.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => self.wait(deadline).await?,
        }
        Ok(Slot(self))
    }

    async fn wait(&self, deadline: Option<Deadline>) -> Result<(), Status> {
        let acquired = match deadline {
            None => Ok(self.slots.acquire().await),
            Some(deadline) => timeout_at(deadline.instant(), self.slots.acquire()).await,
        };
        match acquired {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(())
            }
            Ok(Err(_)) => {
                Err(transport::not_sent(Code::Unavailable, "the connection takes no more calls"))
            }
            Err(_) => Err(transport::not_sent(Code::DeadlineExceeded, "deadline exceeded")),
        }
    }
}

impl Slot {
    /// Opens the stream: its headers are on their way when this returns.
    pub(super) fn open(&self, mut head: Request<()>, end: bool) -> Result<Stream, Status> {
        self.0.names.tell(head.headers_mut());
        self.0.turn.say();
        // A clone is not held up by what another has queued.
        self.0.sender.clone().send_request(head, end).map_err(|error| {
            // The connection's task is about to say so; until then a call would be sent again and
            // again to where it cannot go.
            let ended = error.is_go_away() || error.is_io();
            if ended {
                self.0.close();
            }
            match self.0.end() {
                None if !ended => transport::malformed(error),
                _ => transport::not_opened(error),
            }
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.slots.add_permits(1);
    }
}
