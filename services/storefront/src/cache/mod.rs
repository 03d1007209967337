//! Cache-aside with a single flight: what is asked for by many is asked for once, what is a little old
//! is shown while it is asked for anew, and what is older only if nobody answers.
//!
//! | an entry is | `get` |
//! |---|---|
//! | fresh, and not doubted | answers with it |
//! | older, not doubted, at most `stale` beyond that | answers with it, and has it loaded anew |
//! | older, or doubted | waits for it to be loaded; if that fails, answers with what is kept |
//! | not there | waits for it to be loaded |
//!
//! A load belongs to nobody: it goes on if those who wait give up. What it brings is taken for fresh
//! only if the entry was not doubted meanwhile.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use mesh_rpc::fallback::Degraded;
use mesh_runtime::metrics::meter;
use opentelemetry::{KeyValue, metrics::Counter};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::pages::why;

/// Who is asked.
const ORIGIN: &str = "catalog";
/// Why an answer is stale that is being asked for anew.
const REVALIDATING: &str = "REVALIDATING";

static READS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("shop.storefront.cache.reads")
        .with_unit("{read}")
        .with_description("Reads of what is kept of the catalog, by what they found")
        .build()
});
static FORGOTTEN: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("shop.storefront.cache.forgotten")
        .with_unit("{entry}")
        .with_description("Entries that are not taken as they are any more, by why")
        .build()
});

/// How long entries are good for what, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Taken as it is.
    pub fresh: Duration,
    /// After that, shown while it is loaded anew.
    pub stale: Duration,
    /// Shown if it cannot be loaded, up to this age.
    pub kept: Duration,
    /// The most entries; the oldest leave.
    pub entries: usize,
}

/// Why entries are not taken as they are any more.
#[derive(Clone, Copy, Debug)]
pub enum Forgotten {
    /// A change was announced.
    Event,
    /// Changes may have been missed.
    Missed,
    /// An operator said so.
    Purge,
    /// There are too many.
    Full,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Cached<V> {
    pub value: V,
    /// Since when it is known.
    pub age: Duration,
    /// Why it may have changed since, if it may.
    pub stale: Option<String>,
}

/// Values by key. Cheap to clone.
pub struct Cache<V> {
    inner: Arc<Inner<V>>,
}

struct Inner<V> {
    limits: Limits,
    loads: AtomicU64,
    slots: Mutex<HashMap<String, Slot<V>>>,
}

struct Slot<V> {
    kept: Option<Kept<V>>,
    /// The load under way, and its number. One that began before the entry was doubted is not here.
    flight: Option<(u64, Flight<V>)>,
}

#[derive(Clone)]
struct Kept<V> {
    value: V,
    since: Instant,
    doubted: bool,
}

type Flight<V> = Shared<BoxFuture<'static, Result<V, Status>>>;

/// What a look at an entry says.
enum Look<V> {
    Found(Cached<V>),
    Wait(Flight<V>, Option<Kept<V>>),
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    pub fn new(limits: Limits) -> Self {
        Self {
            inner: Arc::new(Inner { limits, loads: AtomicU64::new(0), slots: Mutex::default() }),
        }
    }

    /// The value of `key`, for which `load` is begun if it is needed, and waited for at most `limit`.
    ///
    /// # Errors
    /// As the load failed, or DEADLINE_EXCEEDED, if nothing is kept that can be shown instead; what
    /// the origin itself refused is never answered by something older.
    pub async fn get(
        &self,
        key: &str,
        limit: Duration,
        load: impl Future<Output = Result<V, Status>> + Send + 'static,
    ) -> Result<Cached<V>, Status> {
        let (flight, kept) = match self.inner.look(key, load) {
            Look::Found(found) => return Ok(found),
            Look::Wait(flight, kept) => (flight, kept),
        };
        let late = |_| Err(Status::deadline_exceeded("there was no answer in time"));
        let failed = match timeout(limit, flight).await.unwrap_or_else(late) {
            Ok(value) => return Ok(Cached { value, age: Duration::ZERO, stale: None }),
            Err(status) => status,
        };
        let kept = kept.filter(|kept| kept.since.elapsed() <= self.inner.limits.kept);
        match kept.filter(|_| Degraded::of(ORIGIN, &failed).is_some()) {
            Some(kept) => {
                read("fallback");
                let (value, age) = (kept.value, kept.since.elapsed());
                Ok(Cached { value, age, stale: Some(why(&failed)) })
            }
            None => {
                read("failed");
                Err(failed)
            }
        }
    }

    /// Takes the entries that `concerned` names not as they are any more. They are kept for the case
    /// that nobody answers.
    pub fn doubt(&self, concerned: impl Fn(&str) -> bool, why: Forgotten) {
        let mut count = 0;
        self.inner.slots().retain(|key, slot| {
            if !concerned(key) {
                return true;
            }
            slot.flight = None;
            let Some(kept) = &mut slot.kept else { return false };
            count += u64::from(!kept.doubted);
            kept.doubted = true;
            true
        });
        forgotten(count, why);
    }

    /// Forgets the entries whose keys begin with `prefix`. Returns how many there were.
    pub fn purge(&self, prefix: &str) -> usize {
        self.doubt(|key| key.starts_with(prefix), Forgotten::Purge);
        let mut slots = self.inner.slots();
        let before = slots.len();
        slots.retain(|key, _| !key.starts_with(prefix));
        before - slots.len()
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    fn look(
        self: &Arc<Self>,
        key: &str,
        load: impl Future<Output = Result<V, Status>> + Send + 'static,
    ) -> Look<V> {
        let mut slots = self.slots();
        let slot = slots.entry(key.to_owned()).or_default();
        let kept = slot.kept.clone();
        let age = kept.as_ref().map(|kept| kept.since.elapsed());
        let sure = kept.as_ref().filter(|kept| !kept.doubted).zip(age);
        if let Some((kept, age)) = sure
            && age <= self.limits.fresh
        {
            read("hit");
            return Look::Found(Cached { value: kept.value.clone(), age, stale: None });
        }
        let (_, flight) = slot.flight.get_or_insert_with(|| self.begin(key, load)).clone();
        match sure {
            Some((kept, age)) if age <= self.limits.fresh + self.limits.stale => {
                read("stale");
                let stale = Some(REVALIDATING.to_owned());
                Look::Found(Cached { value: kept.value.clone(), age, stale })
            }
            _ => {
                read("miss");
                Look::Wait(flight, kept)
            }
        }
    }

    /// Begins to load. It is a task of its own, outside of the caller's call: for all who wait.
    fn begin(
        self: &Arc<Self>,
        key: &str,
        load: impl Future<Output = Result<V, Status>> + Send + 'static,
    ) -> (u64, Flight<V>) {
        let (inner, key) = (Arc::clone(self), key.to_owned());
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        let task = tokio::spawn(async move {
            let result = load.await;
            inner.arrived(&key, number, &result);
            result
        });
        let ended = task.map(|ended| {
            // It panicked, or the process ends.
            ended.unwrap_or_else(|error| Err(Status::from_error(Box::new(error))))
        });
        (number, ended.boxed().shared())
    }

    fn arrived(&self, key: &str, number: u64, result: &Result<V, Status>) {
        let mut slots = self.slots();
        // Purged meanwhile, or doubted: then the next one to ask asks anew.
        let awaited = |slot: &&mut Slot<V>| slot.flight.as_ref().is_some_and(|it| it.0 == number);
        let Some(slot) = slots.get_mut(key).filter(awaited) else { return };
        slot.flight = None;
        match result {
            Ok(value) => {
                let (value, since) = (value.clone(), Instant::now());
                slot.kept = Some(Kept { value, since, doubted: false });
            }
            Err(_) if slot.kept.is_none() => {
                slots.remove(key);
            }
            Err(_) => {}
        }
        self.make_room(&mut slots);
    }

    /// Drops the oldest tenth when there are too many: one look at all of them for many entries.
    fn make_room(&self, slots: &mut HashMap<String, Slot<V>>) {
        let Some(over) = slots.len().checked_sub(self.limits.entries).filter(|over| *over > 0)
        else {
            return;
        };
        let since = |slot: &Slot<V>| slot.kept.as_ref().map(|kept| kept.since);
        let mut ages: Vec<_> = slots.values().filter_map(since).collect();
        ages.sort_unstable();
        let leave = (over + self.limits.entries / 10).min(ages.len());
        let Some(newest) = leave.checked_sub(1).and_then(|last| ages.get(last)).copied() else {
            return;
        };
        let before = slots.len();
        slots.retain(|_, slot| since(slot).is_none_or(|since| since > newest));
        forgotten((before - slots.len()) as u64, Forgotten::Full);
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot<V>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { kept: None, flight: None }
    }
}

impl Forgotten {
    fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Missed => "missed",
            Self::Purge => "purge",
            Self::Full => "full",
        }
    }
}

fn read(found: &'static str) {
    READS.add(1, &[KeyValue::new("result", found)]);
}

fn forgotten(count: u64, why: Forgotten) {
    if count > 0 {
        FORGOTTEN.add(count, &[KeyValue::new("why", why.as_str())]);
    }
}

#[cfg(test)]
mod tests;
