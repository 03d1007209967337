//! Tokens that ended before they expired.

use std::{
    collections::HashMap,
    pin::pin,
    str::FromStr,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::{SKEW, seconds, user::User, verify::Refused};

/// From how many entries on those that no token can meet any more are looked for.
const WORTH_CLEANING: usize = 1024;

/// What was revoked, as far as tokens live that it ends. Extended and replaced while others read.
#[derive(Debug, Default)]
pub struct Revocations {
    when_lost: WhenLost,
    lost: AtomicBool,
    changed: Notify,
    entries: RwLock<Entries>,
}

/// What holds while nobody says what is revoked; as configuration `open` or `closed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenLost {
    /// Tokens are good until they expire, revoked or not.
    #[default]
    Open,
    /// No token is good.
    Closed,
}

/// A word that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither `open` nor `closed`")]
pub struct NotARule(String);

impl FromStr for WhenLost {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            other => Err(NotARule(other.to_owned())),
        }
    }
}

#[derive(Debug)]
struct Entries {
    /// Until when (seconds since 1970) a session's tokens might be shown.
    sessions: HashMap<Uuid, u64>,
    subjects: HashMap<Uuid, Before>,
    clean_at: usize,
}

/// Tokens of a subject that were issued in this second or before it.
#[derive(Clone, Copy, Debug)]
struct Before {
    issued: u64,
    until: u64,
}

impl Revocations {
    /// Nothing revoked; `when_lost` is what holds while it is not known what is.
    pub fn new(when_lost: WhenLost) -> Self {
        Self { when_lost, ..Self::default() }
    }

    /// Ends a session. No token of it lives beyond `until`.
    pub fn revoke_session(&self, session: Uuid, until: SystemTime) {
        self.change(|entries| {
            let known = entries.sessions.entry(session).or_default();
            *known = seconds(until).max(*known);
        });
    }

    /// Ends all tokens of `subject` that were issued in the second of `before` or earlier. None of
    /// them lives beyond `until`.
    pub fn revoke_subject(&self, subject: Uuid, before: SystemTime, until: SystemTime) {
        let given = Before { issued: seconds(before), until: seconds(until) };
        self.change(|entries| {
            let known = entries.subjects.entry(subject).or_insert(given);
            known.issued = known.issued.max(given.issued);
            known.until = known.until.max(given.until);
        });
    }

    /// Forgets everything: what is revoked will be said anew.
    pub fn clear(&self) {
        *self.write() = Entries::default();
    }

    /// Says whether it is known what is revoked. It is, at the beginning.
    pub fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// Whether it is unknown what was revoked lately.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// What the rule is while it is unknown.
    pub(crate) fn when_lost_in_words(&self) -> &'static str {
        match self.when_lost {
            WhenLost::Open => "tokens are taken until they expire, revoked or not",
            WhenLost::Closed => "no token is taken",
        }
    }

    /// How many sessions and subjects are revoked.
    pub fn len(&self) -> usize {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until it is said that `user`'s token has ended.
    pub async fn ended(&self, user: &User) {
        loop {
            // What is said from here on is not missed.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.names(user) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn check(&self, user: &User) -> Result<(), Refused> {
        if self.is_lost() && self.when_lost == WhenLost::Closed {
            return Err(Refused::RevocationsUnknown);
        }
        if self.names(user) { Err(Refused::Revoked) } else { Ok(()) }
    }

    /// Whether the user's token is among those that ended.
    fn names(&self, user: &User) -> bool {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let subject = entries.subjects.get(&user.subject());
        let ended = subject.is_some_and(|before| user.issued_second() <= before.issued);
        ended || entries.sessions.contains_key(&user.session())
    }

    fn change(&self, change: impl FnOnce(&mut Entries)) {
        let mut entries = self.write();
        change(&mut entries);
        if entries.len() >= entries.clean_at {
            entries.clean(seconds(SystemTime::now()));
        }
        drop(entries);
        self.changed.notify_waiters();
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn len(&self) -> usize {
        self.sessions.len() + self.subjects.len()
    }

    /// Drops what no living token can meet.
    fn clean(&mut self, now: u64) {
        let ended = now.saturating_sub(SKEW.as_secs());
        self.sessions.retain(|_, until| *until >= ended);
        self.subjects.retain(|_, before| before.until >= ended);
        // Doubling keeps the cost of cleaning below that of adding.
        self.clean_at = (2 * self.len()).max(WORTH_CLEANING);
    }
}

impl Default for Entries {
    fn default() -> Self {
        let (sessions, subjects) = (HashMap::new(), HashMap::new());
        Self { sessions, subjects, clean_at: WORTH_CLEANING }
    }
}
