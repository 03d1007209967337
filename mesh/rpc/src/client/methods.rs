//! What a channel knows of the methods it calls, put together once for each.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use mesh_policy::{Effective, values};
use opentelemetry::StringValue;

use crate::{
    Deadline,
    method::OTHER,
    retry::{Memory, Retries, Rule},
    telemetry::Durations,
};

/// A client calls what it was compiled with; more names than this are a fault.
const MAX_METHODS: usize = 512;

/// What holds for a call of one method.
pub(super) struct Plan {
    /// Its name in metrics and traces.
    pub(super) name: StringValue,
    pub(super) rule: Rule,
    /// What its calls have shown.
    pub(super) memory: Arc<Memory>,
    /// How long they took.
    pub(super) durations: Arc<Durations>,
    /// By default and at most; none if no contract names the method.
    deadlines: Option<(Duration, Duration)>,
}

impl Plan {
    /// The earliest of what the caller asks for and what its own caller still waits for, at most what
    /// the policy allows; else the method's default.
    pub(super) fn deadline(
        &self,
        explicit: Option<Deadline>,
        inherited: Option<Deadline>,
    ) -> Option<Deadline> {
        let asked = Deadline::for_call(explicit, inherited);
        let Some((default, max)) = self.deadlines else { return asked };
        let longest = if asked.is_some() { max } else { default.min(max) };
        let longest = Deadline::after(longest);
        Some(asked.map_or(longest, |asked| asked.min(longest)))
    }
}

/// The plans of one channel.
pub(super) struct Methods {
    known: RwLock<Known>,
    caller: StringValue,
    target: StringValue,
    sidecar: bool,
}

struct Known {
    effective: Arc<Effective>,
    plans: HashMap<Box<str>, Arc<Plan>>,
}

impl Methods {
    /// Plans the calls of `caller` to `target` by `effective`; behind a sidecar, what no contract
    /// names is not repeated for what it answered.
    pub(super) fn new(
        caller: StringValue,
        target: StringValue,
        effective: Arc<Effective>,
        sidecar: bool,
    ) -> Self {
        let known = RwLock::new(Known { effective, plans: HashMap::new() });
        Self { known, caller, target, sidecar }
    }

    /// Plans anew; calls under way keep their plans.
    pub(super) fn apply(&self, effective: Arc<Effective>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Known { effective, plans: HashMap::new() };
    }

    /// The plan of `package.Service/Method`. Costs a hash of its name.
    pub(super) fn plan(&self, path: &str, retries: &Retries) -> Arc<Plan> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = known.plans.get(path) {
            return Arc::clone(plan);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let path = if known.plans.len() < MAX_METHODS { path } else { "" };
        let plan = Arc::new(self.make(&known.effective, path, retries));
        Arc::clone(known.plans.entry(path.into()).or_insert(plan))
    }

    fn make(&self, effective: &Effective, path: &str, retries: &Retries) -> Plan {
        let name = match path {
            "" => StringValue::from(OTHER),
            _ => StringValue::from(Arc::<str>::from(path)),
        };
        let memory = retries.memory(path);
        let (caller, target) = (self.caller.clone(), self.target.clone());
        let durations = Arc::new(Durations::client(caller, target, name.clone()));
        let facts = effective.contracts().method(path);
        let (Some(facts), Some(call)) = (facts, effective.method(path)) else {
            let rule = self.of_unknown();
            return Plan { name, rule, memory, durations, deadlines: None };
        };
        let mut rule = Rule::of(facts);
        // What is not safe to repeat is sent again only if its callee has surely not seen it: that
        // is no operator's choice.
        if rule.idempotent {
            rule = rule.retry(call.retry);
        }
        if let Some(hedge) = call.hedge {
            rule = rule.hedge(hedge);
        }
        let deadlines = Some((call.deadline, call.max_deadline));
        Plan { name, rule, memory, durations, deadlines }
    }

    /// Sidecars are told to repeat nothing of what the contracts know (`retries.attempts: 0`); what
    /// they do with other RPCs is nobody's business here, and two who repeat multiply.
    fn of_unknown(&self) -> Rule {
        match self.sidecar {
            true => {
                Rule::default().retry(values::Retry { attempts: 1, ..values::Retry::default() })
            }
            false => Rule::default(),
        }
    }
}
