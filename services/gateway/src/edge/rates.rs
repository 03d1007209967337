//! How often somebody may ask: token buckets, one for each caller and limit.
//!
//! The limits are this process's own: over several gateways they are approximate. Each has an even share
//! of a quota, if the file says how many there are, and else lets as much through as one alone; what must
//! never be exceeded is for the service to count. A bucket that all share would cost each request a round
//! trip, and be away with the broker.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_rpc::server::Recent;

use super::caller::Caller;

/// Callers that each limit remembers; who was forgotten has the whole quota again.
const MAX_CALLERS: usize = 10_000;
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// So many requests at once, of which one comes back each `seconds / requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) requests: u32,
    pub(crate) seconds: u32,
}

impl Quota {
    fn per_second(self) -> f64 {
        f64::from(self.requests) / f64::from(self.seconds)
    }
}

/// The limits there are.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(super) address: Option<Limit>,
    pub(super) user: Option<Limit>,
    /// By `/package.Service/Method`.
    pub(super) rpcs: HashMap<String, Limit>,
}

/// One limit, of which every caller has its own bucket.
#[derive(Debug)]
pub(crate) struct Limit {
    name: Arc<str>,
    pub(super) quota: Quota,
    callers: Arc<Mutex<Recent<Caller, Level>>>,
}

/// What was in a bucket, and when.
#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl Limit {
    pub(super) fn new(name: &str, quota: Quota) -> Self {
        let callers = Arc::new(Mutex::new(Recent::new(MAX_CALLERS)));
        Self { name: name.into(), quota, callers }
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Caller, Level>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in the bucket of `level` now.
    fn tokens(&self, level: Option<Level>, now: Instant) -> f64 {
        let full = f64::from(self.quota.requests);
        level.map_or(full, |Level { tokens, at }| {
            let back = now.saturating_duration_since(at).as_secs_f64() * self.quota.per_second();
            (tokens + back).min(full)
        })
    }

    /// How long it takes until so many tokens have come back.
    fn time(&self, tokens: f64) -> Duration {
        Duration::from_secs_f64(tokens.max(0.0) / self.quota.per_second())
    }
}

/// What the limits say of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// How long it is too early.
    pub(crate) early: Option<Duration>,
    told: Vec<Told>,
}

/// How one limit stands.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    name: Arc<str>,
    quota: Quota,
    remaining: u64,
    full_in: u64,
}

impl Rates {
    /// Whether there is no limit at all.
    pub(super) fn is_empty(&self) -> bool {
        self.address.is_none() && self.user.is_none() && self.rpcs.is_empty()
    }

    /// Goes on with the buckets of the limits in `before` that are as they were.
    pub(super) fn go_on(&mut self, before: &Rates) {
        let general = [(&mut self.address, &before.address), (&mut self.user, &before.user)];
        let general = general.into_iter().filter_map(|(new, old)| new.as_mut().zip(old.as_ref()));
        let rpcs = self.rpcs.iter_mut();
        let rpcs = rpcs.filter_map(|(rpc, new)| Some((new, before.rpcs.get(rpc)?)));
        for (new, old) in general.chain(rpcs).filter(|(new, old)| new.quota == old.quota) {
            new.callers = Arc::clone(&old.callers);
        }
    }

    /// Counts a request, if every limit that applies to it has room.
    pub(crate) fn arrive(&self, caller: &Caller, rpc: Option<&str>, now: Instant) -> Verdict {
        let general = match caller {
            Caller::User(_) => self.user.as_ref(),
            Caller::Address(_) => self.address.as_ref(),
        };
        // Always in this order, so that two requests never wait for each other.
        let limits = general.into_iter().chain(rpc.and_then(|rpc| self.rpcs.get(rpc)));
        let mut locked: Vec<_> = limits.map(|limit| (limit, limit.lock())).collect();
        let mut tokens: Vec<f64> =
            locked.iter().map(|(limit, callers)| limit.tokens(callers.get(caller), now)).collect();
        let waits = locked.iter().zip(&tokens).filter(|(_, tokens)| **tokens < 1.0);
        let early = waits.map(|((limit, _), tokens)| limit.time(1.0 - tokens)).max();
        let mut told = Vec::with_capacity(locked.len());
        for ((limit, callers), tokens) in locked.iter_mut().zip(&mut tokens) {
            // Who is refused by one limit uses nothing up of another. It is noted in any case, or one
            // who never stops would be forgotten, and begin anew.
            *tokens -= if early.is_none() { 1.0 } else { 0.0 };
            callers.put(caller.clone(), Level { tokens: *tokens, at: now });
            let full_in = limit.time(f64::from(limit.quota.requests) - *tokens);
            told.push(Told {
                name: Arc::clone(&limit.name),
                quota: limit.quota,
                remaining: *tokens as u64,
                full_in: seconds(full_in),
            });
        }
        Verdict { early, told }
    }
}

impl Verdict {
    /// Tells a client of HTTP how it stands, as draft-ietf-httpapi-ratelimit-headers has it.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if self.told.is_empty() {
            return;
        }
        let list = |item: fn(&Told) -> String| {
            let all: Vec<_> = self.told.iter().map(item).collect();
            HeaderValue::try_from(all.join(", ")).ok()
        };
        let policy = list(|Told { name, quota, .. }| {
            format!("\"{name}\";q={};w={}", quota.requests, quota.seconds)
        });
        let state =
            list(|told| format!("\"{}\";r={};t={}", told.name, told.remaining, told.full_in));
        for (name, value) in [(POLICY, policy), (STATE, state)] {
            headers.extend(value.map(|value| (name, value)));
        }
    }
}

/// Whole seconds, so that it is not too early after them.
pub(crate) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, requests: u32, seconds: u32) -> Limit {
        Limit::new(name, Quota { requests, seconds })
    }

    fn from(last: u8) -> Caller {
        Caller::Address([203, 0, 113, last].into())
    }

    #[test]
    fn a_caller_has_a_quota_that_comes_back_evenly() {
        let rates = Rates { address: Some(limit("address", 3, 6)), ..Rates::default() };
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);

        for _ in 0..3 {
            assert_eq!(rates.arrive(&from(1), None, at(0)).early, None);
        }
        assert_eq!(rates.arrive(&from(1), None, at(0)).early, Some(Duration::from_secs(2)));
        assert_eq!(rates.arrive(&from(1), None, at(500)).early, Some(Duration::from_millis(1500)));
        assert_eq!(rates.arrive(&from(2), None, at(500)).early, None, "others are unaffected");
        assert_eq!(rates.arrive(&from(1), None, at(2000)).early, None);
        assert!(rates.arrive(&from(1), None, at(2000)).early.is_some());
        for _ in 0..3 {
            assert_eq!(rates.arrive(&from(1), None, at(60_000)).early, None, "no more than full");
        }
        assert!(rates.arrive(&from(1), None, at(60_000)).early.is_some());
    }

    #[test]
    fn who_is_refused_by_one_limit_uses_nothing_up_of_another() {
        let rpcs = HashMap::from([("/s/Rare".to_owned(), limit("Rare", 1, 10))]);
        let rates = Rates { address: Some(limit("address", 3, 60)), rpcs, ..Rates::default() };
        let now = Instant::now();

        assert_eq!(rates.arrive(&from(1), Some("/s/Rare"), now).early, None);
        for _ in 0..9 {
            assert_eq!(
                rates.arrive(&from(1), Some("/s/Rare"), now).early,
                Some(Duration::from_secs(10))
            );
        }
        for _ in 0..2 {
            assert_eq!(rates.arrive(&from(1), Some("/s/Other"), now).early, None);
        }
        assert!(rates.arrive(&from(1), Some("/s/Other"), now).early.is_some());
    }

    #[test]
    fn users_have_their_own_limit() {
        let rates = Rates {
            address: Some(limit("address", 1, 60)),
            user: Some(limit("user", 2, 60)),
            ..Rates::default()
        };
        let (now, ada) = (Instant::now(), Caller::User("ada".into()));

        assert_eq!(rates.arrive(&from(1), None, now).early, None);
        assert!(rates.arrive(&from(1), None, now).early.is_some());
        for _ in 0..2 {
            assert_eq!(rates.arrive(&ada, None, now).early, None);
        }
        assert!(rates.arrive(&ada, None, now).early.is_some());
    }

    #[test]
    fn however_many_come_no_more_are_remembered() {
        let rates = Rates { address: Some(limit("address", 1, 60)), ..Rates::default() };
        let now = Instant::now();
        for n in 0..50_000_u32 {
            let _ = rates.arrive(&Caller::Address(n.to_be_bytes().into()), None, now);
            // One who never stops is not forgotten for it.
            assert_eq!(rates.arrive(&from(1), None, now).early.is_some(), n > 0);
        }
        assert!(rates.address.as_ref().unwrap().lock().len() <= MAX_CALLERS);
    }

    #[test]
    fn a_limit_that_is_as_it_was_goes_on_where_it_was() {
        let made = |address, rare| Rates {
            address: Some(limit("address", address, 60)),
            rpcs: HashMap::from([("/s/Rare".to_owned(), limit("Rare", rare, 60))]),
            ..Rates::default()
        };
        let now = Instant::now();
        let mut rates = made(9, 1);
        assert_eq!(rates.arrive(&from(1), Some("/s/Rare"), now).early, None);

        for (address, rare, is_early) in [(5, 1, true), (5, 2, false), (5, 2, false), (5, 2, true)]
        {
            let before = std::mem::replace(&mut rates, made(address, rare));
            rates.go_on(&before);
            let early = rates.arrive(&from(1), Some("/s/Rare"), now).early;
            assert_eq!(early.is_some(), is_early, "{address} {rare}");
        }
    }

    #[test]
    fn the_standing_is_told() {
        let rpcs = HashMap::from([("/s/Rare".to_owned(), limit("Rare", 5, 60))]);
        let rates = Rates { address: Some(limit("address", 100, 10)), rpcs, ..Rates::default() };
        let mut headers = HeaderMap::new();

        rates.arrive(&from(1), Some("/s/Rare"), Instant::now()).tell(&mut headers);
        assert_eq!(headers[POLICY], "\"address\";q=100;w=10, \"Rare\";q=5;w=60");
        assert_eq!(headers[STATE], "\"address\";r=99;t=1, \"Rare\";r=4;t=12");
        let mut none = HeaderMap::new();
        Rates::default().arrive(&from(1), None, Instant::now()).tell(&mut none);
        assert!(none.is_empty());
    }
}
