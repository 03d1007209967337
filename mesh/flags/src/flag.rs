//! Flags as a service asks them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use mesh_runtime::{Service, metrics::meter};
use opentelemetry::{KeyValue, metrics::Counter};
use serde_json::json;
use tokio::time::Instant;

use crate::{Rule, declared, declared::Malformed};

/// The flags of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Flags {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    service: &'static str,
    /// By the name that the service gives them.
    flags: BTreeMap<String, Flag>,
    /// None while the bucket is followed; else since when it is not.
    lost: Mutex<Option<Instant>>,
}

/// A flag. Cheap to clone; asking it costs a lock that nobody holds long, and at a percentage a hash.
#[derive(Clone)]
pub struct Flag {
    state: Arc<State>,
}

struct State {
    /// The full name.
    name: String,
    default: bool,
    rule: RwLock<Option<Rule>>,
    evaluations: Counter<u64>,
    /// For off and on.
    labels: [[KeyValue; 3]; 2],
}

/// A flag that the service does not declare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{service} declares no flag `{name}`: {}", listed(.known))]
pub struct Undeclared {
    service: &'static str,
    name: String,
    known: Vec<String>,
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "its mesh.toml has no [[flags]]".to_owned(),
        some => format!("its mesh.toml has {}", some.join(", ")),
    }
}

impl Flags {
    /// The flags that `service` declares in one of `declarations`, the texts of `mesh.toml` files. Each
    /// is as declared until the bucket is followed.
    ///
    /// # Errors
    /// If a declaration cannot be read.
    pub fn declared(service: &'static str, declarations: &[&str]) -> Result<Self, Malformed> {
        let evaluations = meter()
            .u64_counter("mesh.flags.evaluations")
            .with_unit("{evaluation}")
            .with_description("How often a flag was asked, and what it said")
            .build();
        let flags = declared::of(service, declarations)?.into_iter().map(|(short, default)| {
            let name = format!("{service}.{short}");
            let labels = ["off", "on"].map(|answer| {
                [
                    KeyValue::new("service", service),
                    KeyValue::new("flag", name.clone()),
                    KeyValue::new("answer", answer),
                ]
            });
            let (rule, evaluations) = (RwLock::new(None), evaluations.clone());
            let state = State { name, default, rule, evaluations, labels };
            (short, Flag { state: Arc::new(state) })
        });
        let lost = Mutex::new(Some(Instant::now()));
        Ok(Self { inner: Arc::new(Inner { service, flags: flags.collect(), lost }) })
    }

    /// The flag that the service calls `name`.
    ///
    /// # Errors
    /// If it declares none of that name.
    pub fn flag(&self, name: &str) -> Result<Flag, Undeclared> {
        self.inner.flags.get(name).cloned().ok_or_else(|| Undeclared {
            service: self.inner.service,
            name: name.to_owned(),
            known: self.inner.flags.keys().cloned().collect(),
        })
    }

    /// For how long it has not been known what operators say: nothing while it is.
    pub fn age(&self) -> Duration {
        let lost = *self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Says whether the bucket is followed.
    pub(crate) fn set_lost(&self, is_lost: bool) {
        let mut lost = self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner);
        *lost = is_lost.then(|| lost.unwrap_or_else(Instant::now));
    }

    /// Takes what is said of a flag, by its full name. Others' flags are others' affair.
    pub(crate) fn take(&self, name: &str, rule: Option<Rule>, by: &str) {
        if let Some(flag) = self.of(name) {
            flag.take(rule, by);
        }
    }

    /// Takes all that is said; of what is not in `rules` nothing is.
    pub(crate) fn take_all(&self, mut rules: BTreeMap<String, (Option<Rule>, String)>) {
        for flag in self.inner.flags.values() {
            let (rule, by) = rules.remove(&flag.state.name).unwrap_or_default();
            flag.take(rule, &by);
        }
    }

    /// Whether `name`, a full name, is one of these flags.
    pub(crate) fn of(&self, name: &str) -> Option<&Flag> {
        self.inner.flags.values().find(|flag| flag.state.name == name)
    }

    /// Shows what holds on the admin port, at `/flags`. Who is named is not shown.
    pub(crate) fn show(&self, service: &Service) {
        let inner = Arc::downgrade(&self.inner);
        service.admin_table("flags", move || {
            let Some(inner) = inner.upgrade() else { return json!({}) };
            let flags = Self { inner };
            let shown = flags.inner.flags.values().map(|flag| {
                let rule = flag.state.rule.read().unwrap_or_else(PoisonError::into_inner);
                let value = json!({
                    "default": flag.state.default,
                    "percent": rule.as_ref().map(Rule::of_hundred),
                    "users": rule.as_ref().map_or(0, |rule| rule.users().len()),
                });
                (flag.state.name.clone(), value)
            });
            let shown: serde_json::Map<_, _> = shown.collect();
            json!({ "age_seconds": flags.age().as_secs_f64(), "flags": shown })
        });
    }
}

impl Flag {
    /// Whether it is on for `user`: a user's id, or whatever else stands for one caller. Nobody is on
    /// no side of a percentage, and goes by it at 0 and 100 only.
    pub fn is_on(&self, user: Option<&str>) -> bool {
        let State { name, default, rule, evaluations, labels } = &*self.state;
        let rule = rule.read().unwrap_or_else(PoisonError::into_inner);
        let on = rule.as_ref().map_or(*default, |rule| rule.decide(name, user));
        drop(rule);
        evaluations.add(1, &labels[usize::from(on)]);
        on
    }

    /// Its full name, `<service>.<name>`.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// What was said last, if anything.
    pub(crate) fn rule(&self) -> Option<Rule> {
        self.state.rule.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, rule: Option<Rule>, by: &str) {
        let mut known = self.state.rule.write().unwrap_or_else(PoisonError::into_inner);
        if *known == rule {
            return;
        }
        let percent = rule.as_ref().map(Rule::of_hundred);
        let users = rule.as_ref().map_or(0, |rule| rule.users().len());
        tracing::info!(flag = self.state.name, by, percent, users, "flag changed");
        *known = rule;
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flag").field(&self.state.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[&str] = &[
        "service = \"a\"\n[[flags]]\nname = \"old\"\ndefault = true\nwhat = \"x\"\n\
         [[flags]]\nname = \"new\"\ndefault = false\nwhat = \"x\"",
        "service = \"b\"\nstore = \"postgres\"\n[[flags]]\nname = \"new\"\ndefault = true\nwhat = \"y\"",
    ];

    #[test]
    fn a_flag_is_as_declared_until_somebody_speaks_and_when_nobody_does_any_more() {
        let flags = Flags::declared("a", DECLARED).unwrap();
        let (old, new) = (flags.flag("old").unwrap(), flags.flag("new").unwrap());
        assert_eq!((old.is_on(None), new.is_on(None)), (true, false));

        flags.take("a.new", Some(Rule::everybody(true)), "ada");
        flags.take("b.new", Some(Rule::everybody(false)), "ada");
        flags.take("a.old", Some(Rule::everybody(false)), "ada");
        assert_eq!((old.is_on(None), new.is_on(None)), (false, true));

        flags.take("a.new", None, "ada");
        assert!(!new.is_on(None));
        flags.take_all(BTreeMap::new());
        assert!(old.is_on(None), "of a bucket that is empty nothing is left");
    }

    #[test]
    fn a_flag_that_is_not_declared_is_refused_with_those_that_are() {
        let flags = Flags::declared("a", DECLARED).unwrap();
        let said = |service, name| {
            Flags::declared(service, DECLARED).unwrap().flag(name).unwrap_err().to_string()
        };
        assert!(flags.flag("a.new").is_err(), "that is how operators call it");
        assert_eq!(said("a", "x"), "a declares no flag `x`: its mesh.toml has new, old");
        assert_eq!(said("c", "x"), "c declares no flag `x`: its mesh.toml has no [[flags]]");
        assert!(Flags::declared("a", &["service = \"a\"\nflags = 7"]).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_ages_while_nothing_is_heard() {
        let flags = Flags::declared("a", DECLARED).unwrap();
        flags.set_lost(false);
        assert_eq!(flags.age(), Duration::ZERO);
        flags.set_lost(true);
        tokio::time::advance(Duration::from_secs(5)).await;
        flags.set_lost(true);
        assert_eq!(flags.age(), Duration::from_secs(5), "since it was lost first");
    }
}
