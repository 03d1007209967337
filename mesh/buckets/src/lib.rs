//! A key-value bucket of the broker, followed: whoever listens hears what is in it, and from then on
//! what is put there, for as long as the broker is there; and is told whenever that is not so.
//!
//! What a [`Listener`] makes of it is its own. That nothing is missed is done here, once: the bucket is
//! read anew when the connection was lost, when it is another one than before, and when it holds more
//! than was heard.
#![warn(missing_docs)]

use std::{convert::Infallible, future::Future, time::Duration};

use async_nats::{
    Client,
    connection::State,
    jetstream::{
        self,
        kv::{Entry, Store, Watch},
    },
};
use futures::StreamExt as _;
use tokio::time::{interval, sleep};

/// How often it is looked whether the broker is still there.
const LOOK: Duration = Duration::from_millis(250);
/// Every how many looks it is asked whether the bucket is still the same.
const ASK: u32 = 20;
/// How many looks at least are between two times that it is asked because of a doubt.
const DOUBT: u32 = 4;
/// How long to wait before a bucket that cannot be watched is tried again.
const PAUSE: Duration = Duration::from_millis(250);
const AWAY: &str = "the broker is away";

/// Who hears what is in a bucket.
pub trait Listener: Send {
    /// The bucket is read from its beginning: what follows, until it is [known](Self::known), was there.
    fn begin(&mut self) {}

    /// An entry: one that was there, or one that has just been put or deleted.
    fn entry(&mut self, entry: &Entry);

    /// All that was there has been said.
    fn known(&mut self);

    /// What is in the bucket is unknown from now on, and why.
    fn lost(&mut self, why: &'static str);

    /// Waits until there is a doubt whether all was heard: then it is asked, once a second at most.
    fn doubt(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Follows the bucket `name` for ever. Whoever listens knows nothing at the beginning, and says so itself.
pub async fn follow(
    client: &Client,
    jetstream: &jetstream::Context,
    name: &str,
    listener: &mut impl Listener,
) -> Infallible {
    loop {
        let why = match Watched::begin(client, jetstream, name, listener).await {
            Ok(watched) => watched.hear(client, jetstream, name, listener).await,
            Err(why) => why,
        };
        listener.lost(why);
        sleep(PAUSE).await;
    }
}

/// A bucket that is watched.
struct Watched {
    entries: Watch,
    /// When it was made.
    made: i128,
    /// Whether some of what was there has not been said yet.
    unread: bool,
    /// The last revision that was heard, or was there.
    heard: u64,
    /// The last one that was put when it was asked before.
    put: u64,
}

impl Watched {
    async fn begin(
        client: &Client,
        jetstream: &jetstream::Context,
        name: &str,
        listener: &mut impl Listener,
    ) -> Result<Self, &'static str> {
        let bucket = jetstream.get_key_value(name).await.map_err(|_| absent(client))?;
        let (made, messages, heard) = state(&bucket);
        let watching = bucket.watch_with_history(">").await;
        let entries = watching.map_err(|_| "the bucket cannot be watched")?;
        listener.begin();
        let unread = messages > 0;
        if !unread {
            listener.known();
        }
        Ok(Self { entries, made, unread, heard, put: heard })
    }

    /// Says what comes until nothing can. Returns why.
    async fn hear(
        mut self,
        client: &Client,
        jetstream: &jetstream::Context,
        name: &str,
        listener: &mut impl Listener,
    ) -> &'static str {
        let mut look = interval(LOOK);
        let mut looks = 0;
        loop {
            let is_due = tokio::select! {
                entry = self.entries.next() => {
                    let Some(Ok(entry)) = entry else { return "the bucket is watched no more" };
                    self.take(&entry, listener);
                    false
                }
                _ = look.tick() => {
                    if client.connection_state() != State::Connected {
                        return AWAY;
                    }
                    looks += 1;
                    looks >= ASK
                }
                () = listener.doubt(), if looks >= DOUBT => true,
            };
            if is_due {
                looks = 0;
                if let Err(why) = self.ask(jetstream, name, listener).await {
                    return why;
                }
            }
        }
    }

    fn take(&mut self, entry: &Entry, listener: &mut impl Listener) {
        listener.entry(entry);
        self.heard = self.heard.max(entry.revision);
        // The last of those that were there.
        if self.unread && entry.delta == 0 {
            self.unread = false;
            listener.known();
        }
    }

    /// Asks whether the bucket is the one that is watched, and all that it holds was heard.
    async fn ask(
        &mut self,
        jetstream: &jetstream::Context,
        name: &str,
        listener: &mut impl Listener,
    ) -> Result<(), &'static str> {
        let bucket = jetstream.get_key_value(name).await.map_err(|_| "the bucket is another")?;
        let (made, messages, put) = state(&bucket);
        if made != self.made {
            return Err("the bucket is another");
        }
        // What was there has expired before it was read.
        if self.unread && messages == 0 {
            self.unread = false;
            listener.known();
        }
        // What had been put when it was asked before has had time to come.
        if self.heard < self.put {
            return Err("an entry was not heard");
        }
        self.put = put;
        Ok(())
    }
}

/// Why a bucket is not to be had.
fn absent(client: &Client) -> &'static str {
    match client.connection_state() {
        State::Connected => "there is no bucket",
        _ => AWAY,
    }
}

/// When a bucket was made, how many entries are there, and the last revision.
fn state(bucket: &Store) -> (i128, u64, u64) {
    let info = bucket.stream.cached_info();
    (info.created.unix_timestamp_nanos(), info.state.messages, info.state.last_sequence)
}
