//! Bodies that are read whole before anybody is called: how large each may be, those of one caller, and
//! all of them together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{config::Config, edge::Caller, refused::Refused};

/// Bytes of all bodies that are held at a time: a quarter of what a process is given.
const TOGETHER: usize = 64 << 20;
/// Bytes of these that one caller may hold: who sends bodies that do not end takes no room of others.
const SHARE: usize = TOGETHER / 8;
/// When whoever finds no room asks again.
const AGAIN: Duration = Duration::from_secs(1);

/// The room that there is for bodies.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Arc<Mutex<Taken>>);

/// What is taken of the room.
#[derive(Debug, Default)]
struct Taken {
    together: usize,
    /// By those who hold something, and by nobody else.
    by: HashMap<Caller, usize>,
}

/// A body, and the room that it takes until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _room: Option<Room>,
}

/// What one body takes of the room, until it is dropped.
#[derive(Debug)]
struct Room {
    taken: Arc<Mutex<Taken>>,
    caller: Caller,
    /// What its caller may hold.
    share: usize,
    bytes: usize,
}

impl Bodies {
    /// Reads a caller's body to its end, if that comes in time and within all bounds. Only what has come
    /// takes room, not what is announced.
    pub(crate) async fn read(
        &self,
        config: &Config,
        caller: Caller,
        body: Incoming,
    ) -> Result<Held, Refused> {
        let max = config.max_body_bytes;
        let announced = body.size_hint().lower();
        if usize::try_from(announced).is_ok_and(|length| length > max) {
            return Err(Refused::BodyTooLarge(max));
        }
        // One that may come at all can be held.
        let room = self.room(caller, SHARE.max(max));
        let read = tokio::time::timeout(config.body_limit(), whole(max, body, room));
        read.await.unwrap_or(Err(Refused::BodyTooSlow))
    }

    fn room(&self, caller: Caller, share: usize) -> Room {
        Room { taken: Arc::clone(&self.0), caller, share, bytes: 0 }
    }
}

async fn whole(max: usize, mut body: Incoming, mut room: Room) -> Result<Held, Refused> {
    let (mut first, mut read) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refused::BodyBroken)?.into_data() else { continue };
        if data.len() > max - first.len() - read.len() {
            return Err(Refused::BodyTooLarge(max));
        }
        room.take(data.len())?;
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && read.is_empty() {
            first = data;
        } else {
            read.extend_from_slice(&std::mem::take(&mut first));
            read.extend_from_slice(&data);
        }
    }
    let bytes = if read.is_empty() { first } else { read.freeze() };
    Ok(Held { bytes, _room: Some(room) })
}

impl Room {
    /// Takes more, if there is so much, and so much for its caller.
    fn take(&mut self, bytes: usize) -> Result<(), Refused> {
        if bytes == 0 {
            return Ok(());
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = taken.by.get(&self.caller).copied().unwrap_or_default();
        if bytes > self.share.saturating_sub(theirs) {
            return Err(Refused::CallerBodiesTooLarge(AGAIN));
        }
        if bytes > TOGETHER.saturating_sub(taken.together) {
            return Err(Refused::BodiesTooLarge(AGAIN));
        }
        taken.together += bytes;
        taken.by.insert(self.caller.clone(), theirs + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.together -= self.bytes;
        let theirs = taken.by.get(&self.caller).copied().unwrap_or_default();
        match theirs - self.bytes {
            0 => taken.by.remove(&self.caller),
            rest => taken.by.insert(self.caller.clone(), rest),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 1 << 20;

    fn at(last: u8) -> Caller {
        Caller::Address([203, 0, 113, last].into())
    }

    /// One body of so many pieces, or why it is refused.
    fn put(bodies: &Bodies, caller: Caller, pieces: usize) -> Result<Room, Refused> {
        let mut room = bodies.room(caller, SHARE);
        (0..pieces).try_for_each(|_| room.take(PIECE)).map(|()| room)
    }

    #[test]
    fn one_caller_fills_their_own_share_and_all_together_the_room() {
        let bodies = Bodies::default();
        let full = Refused::CallerBodiesTooLarge(AGAIN);
        let first = put(&bodies, at(1), 3).unwrap();
        let _second = put(&bodies, at(1), 5).unwrap();
        assert_eq!(put(&bodies, at(1), 1).unwrap_err(), full);
        drop(first);
        let _again = put(&bodies, at(1), 3).unwrap();
        assert_eq!(put(&bodies, at(1), 1).unwrap_err(), full);

        let others: Vec<_> = (2..9).map(|n| put(&bodies, at(n), 8).unwrap()).collect();
        assert_eq!(put(&bodies, at(9), 1).unwrap_err(), Refused::BodiesTooLarge(AGAIN));
        drop(others);
        assert!(put(&bodies, at(9), 8).is_ok());
    }

    #[test]
    fn who_holds_nothing_is_not_remembered() {
        let bodies = Bodies::default();
        let callers = || bodies.0.lock().unwrap().by.len();
        for n in 0..200 {
            assert!(put(&bodies, at(n), 9).is_err(), "it is larger than the share");
            drop(put(&bodies, at(n), 0));
        }
        assert_eq!(callers(), 0);

        let held = [put(&bodies, at(1), 1), put(&bodies, at(1), 1)].map(Result::unwrap);
        assert_eq!(callers(), 1);
        drop(held);
        assert_eq!((callers(), bodies.0.lock().unwrap().together), (0, 0));
    }
}
