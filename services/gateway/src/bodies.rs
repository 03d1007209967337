//! Bodies that are read whole before anybody is called: how large each may be, and all of them together.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Config, refused::Refused};

/// Bytes of all bodies that are held at a time: a quarter of what a process is given.
const TOGETHER: usize = 64 << 20;
/// When whoever finds no room asks again.
const AGAIN: Duration = Duration::from_secs(1);

/// The room that there is for bodies.
#[derive(Debug)]
pub(crate) struct Bodies(Arc<Semaphore>);

/// A body, and the room that it takes until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOGETHER)))
    }
}

impl Bodies {
    /// Reads a body to its end, if that comes in time and within both bounds. Only what has come takes
    /// room, not what is announced.
    pub(crate) async fn read(&self, config: &Config, body: Incoming) -> Result<Held, Refused> {
        let max = config.max_body_bytes;
        let announced = body.size_hint().lower();
        if usize::try_from(announced).is_ok_and(|length| length > max) {
            return Err(Refused::BodyTooLarge(max));
        }
        let read = tokio::time::timeout(config.body_limit(), self.whole(max, body));
        read.await.unwrap_or(Err(Refused::BodyTooSlow))
    }

    async fn whole(&self, max: usize, mut body: Incoming) -> Result<Held, Refused> {
        let (mut first, mut read, mut room) = (Bytes::new(), BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refused::BodyBroken)?.into_data() else { continue };
            if data.len() > max - first.len() - read.len() {
                return Err(Refused::BodyTooLarge(max));
            }
            self.take(&mut room, data.len())?;
            // Most bodies come in one piece, which is not copied.
            if first.is_empty() && read.is_empty() {
                first = data;
            } else {
                read.extend_from_slice(&std::mem::take(&mut first));
                read.extend_from_slice(&data);
            }
        }
        let bytes = if read.is_empty() { first } else { read.freeze() };
        Ok(Held { bytes, _room: room })
    }

    /// Takes more room, if there is any.
    fn take(&self, room: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Refused> {
        let full = Refused::BodiesTooLarge(AGAIN);
        let bytes = u32::try_from(bytes).map_err(|_| full)?;
        let more = Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| full)?;
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }
}
