//! Whether a service can do its work, and if not, why.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// The health of one service: ready when every condition is, and no drain has begun.
///
/// Liveness is not here: a process that answers at all is alive.
#[derive(Clone, Debug)]
pub struct Health {
    shared: Arc<Shared>,
}

/// One thing that readiness depends on.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    shared: Arc<Shared>,
}

/// Whether the service wants calls, and what that rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether to send it calls.
    pub ready: bool,
    /// Whether it is about to end.
    pub draining: bool,
    /// Every condition, by name.
    pub conditions: Vec<ConditionReport>,
}

/// One condition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionReport {
    /// Its name.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// Why it is not ready; empty if it is.
    pub why: String,
}

/// How a condition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ready,
    /// Not as it should be, but the service can still answer.
    Degraded,
    /// The service cannot answer.
    Down,
}

impl Health {
    pub(crate) fn new(service: &'static str) -> Self {
        let inner = Inner::default();
        let (changes, _) = watch::channel(inner.readiness());
        Self { shared: Arc::new(Shared { service, inner: Mutex::new(inner), changes }) }
    }

    /// Returns the condition `name`; a new one is down until it says otherwise.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.shared.change(|inner| {
            inner.conditions.entry(name).or_insert_with(|| (State::Down, "starting".to_owned()));
        });
        Condition { name, shared: Arc::clone(&self.shared) }
    }

    /// Returns how things stand now.
    pub fn readiness(&self) -> Readiness {
        self.shared.changes.borrow().clone()
    }

    /// Follows how things stand.
    pub fn watch(&self) -> watch::Receiver<Readiness> {
        self.shared.changes.subscribe()
    }

    pub(crate) fn drain(&self) {
        self.shared.change(|inner| inner.draining = true);
    }
}

impl Condition {
    /// Says that it is as it should be.
    pub fn ready(&self) {
        self.set(State::Ready, String::new());
    }

    /// Says that it is not as it should be, though the service can still answer.
    pub fn degraded(&self, why: impl Into<String>) {
        self.set(State::Degraded, why.into());
    }

    /// Says that the service cannot answer.
    pub fn down(&self, why: impl Into<String>) {
        self.set(State::Down, why.into());
    }

    fn set(&self, state: State, why: String) {
        self.shared.change(|inner| {
            let now = inner.conditions.entry(self.name).or_insert((State::Down, String::new()));
            if now.0 != state {
                let service = self.shared.service;
                match state {
                    State::Ready => tracing::info!(service, condition = self.name, "ready"),
                    State::Degraded => {
                        tracing::warn!(service, condition = self.name, why, "degraded");
                    }
                    State::Down => tracing::warn!(service, condition = self.name, why, "down"),
                }
            }
            *now = (state, why);
        });
    }
}

impl State {
    /// `ready`, `degraded` or `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

#[derive(Debug)]
struct Shared {
    service: &'static str,
    inner: Mutex<Inner>,
    changes: watch::Sender<Readiness>,
}

#[derive(Debug, Default)]
struct Inner {
    draining: bool,
    conditions: BTreeMap<&'static str, (State, String)>,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        // Sent under the lock, so that an older state cannot overtake a newer one.
        self.changes.send_if_modified(|readiness| {
            let now = inner.readiness();
            let changed = *readiness != now;
            *readiness = now;
            changed
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn readiness(&self) -> Readiness {
        let conditions = self.conditions.iter().map(|(name, (state, why))| ConditionReport {
            name,
            state: *state,
            why: why.clone(),
        });
        Readiness {
            ready: !self.draining
                && self.conditions.values().all(|(state, _)| *state != State::Down),
            draining: self.draining,
            conditions: conditions.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_no_condition_is_down_and_no_drain_has_begun() {
        let health = Health::new("test");
        let (database, broker) = (health.condition("database"), health.condition("broker"));
        assert!(!health.readiness().ready, "new conditions are down");

        database.ready();
        broker.degraded("away");
        assert!(health.readiness().ready, "a degraded service still answers");

        database.down("gone");
        assert!(!health.readiness().ready);

        database.ready();
        health.drain();
        assert!(!health.readiness().ready);
    }

    #[test]
    fn asking_for_a_condition_again_does_not_reset_it() {
        let health = Health::new("test");
        health.condition("database").ready();

        health.condition("database");

        assert!(health.readiness().ready);
    }
}
