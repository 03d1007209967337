//! A request's body on its way.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use tokio::task::AbortHandle;
use tonic::{Status, body::Body};

/// As much of a body as is there at once.
pub(super) enum Upload {
    Empty,
    /// All of it.
    Whole(Bytes),
    /// The beginning, and what is to come.
    Begun(Beginning, Body),
}

/// The frames that were there at once: a message's, and what came where its end might have been.
type Beginning = [Option<Bytes>; 2];

/// The rest of a body, sent by a task that ends with this.
pub(super) struct Pump {
    task: AbortHandle,
    failure: Arc<OnceLock<Status>>,
}

impl Upload {
    /// Takes what is there without waiting.
    pub(super) async fn begin(mut body: Body) -> Result<Self, Status> {
        let mut begun = Beginning::default();
        let over = poll_fn(|cx| Poll::Ready(peek(&mut body, &mut begun, cx))).await?;
        Ok(match (over, begun) {
            (true, [None, None]) => Self::Empty,
            (true, [Some(bytes), None] | [None, Some(bytes)]) => Self::Whole(bytes),
            (_, begun) => Self::Begun(begun, body),
        })
    }

    /// Whether the headers are all there is.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Sends it on `stream`.
    pub(super) fn start(self, mut stream: SendStream<Bytes>) -> Option<Pump> {
        match self {
            Self::Empty => None,
            Self::Whole(bytes) => {
                // What h2 refuses here belongs to a stream that has ended, as the answer tells.
                let _ = stream.send_data(bytes, true);
                None
            }
            Self::Begun(begun, body) => {
                let failure = Arc::default();
                let task = tokio::spawn(pump(begun, body, stream, Arc::clone(&failure)));
                Some(Pump { task: task.abort_handle(), failure })
            }
        }
    }
}

impl Pump {
    /// What the body itself failed with, which then ended the call.
    pub(super) fn failure(&self) -> Option<Status> {
        self.failure.get().cloned()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns whether the body is over.
fn peek(body: &mut Body, begun: &mut Beginning, cx: &mut Context<'_>) -> Result<bool, Status> {
    for frame in begun {
        if body.is_end_stream() {
            return Ok(true);
        }
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(None) => return Ok(true),
            Poll::Ready(Some(next)) => *frame = next?.into_data().ok(),
        }
    }
    Ok(body.is_end_stream())
}

async fn pump(
    begun: Beginning,
    mut body: Body,
    mut stream: SendStream<Bytes>,
    failure: Arc<OnceLock<Status>>,
) {
    let mut sent = Some(());
    for bytes in begun.into_iter().flatten() {
        sent = match sent {
            Some(()) => send(bytes, false, &mut stream).await,
            None => None,
        };
    }
    if let Some(()) = sent
        && let Err(status) = pass(&mut body, &mut stream).await
    {
        // Before the caller hears of the reset.
        let _ = failure.set(status);
        stream.send_reset(Reason::CANCEL);
    }
}

/// Sends frame after frame until the body ends, or the stream does.
async fn pass(body: &mut Body, stream: &mut SendStream<Bytes>) -> Result<(), Status> {
    loop {
        let frame = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => Pin::new(&mut *body).poll_frame(cx).map(Some),
        });
        let Some(frame) = frame.await else { return Ok(()) };
        let Some(frame) = frame.transpose()? else {
            let _ = send(Bytes::new(), true, stream).await;
            return Ok(());
        };
        let Ok(bytes) = frame.into_data() else { continue };
        let end = body.is_end_stream();
        if send(bytes, end, stream).await.is_none() || end {
            return Ok(());
        }
    }
}

/// Sends bytes when the peer has room for some: one frame is the most that waits on this side. None
/// if the stream has ended.
async fn send(bytes: Bytes, end: bool, stream: &mut SendStream<Bytes>) -> Option<()> {
    if !bytes.is_empty() {
        stream.reserve_capacity(1);
        poll_fn(|cx| {
            while stream.capacity() == 0 {
                match stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Some(()))
        })
        .await?;
    }
    stream.send_data(bytes, end).ok()
}
