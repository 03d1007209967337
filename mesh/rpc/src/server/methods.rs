//! What a server knows of the methods it is asked for, put together once for each.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use mesh_policy::{Effective, Table};
use opentelemetry::StringValue;
use tokio::sync::watch;

use super::{
    Bulkhead, Bulkheads, Classify, Criticality, Limits,
    routes::{Route, Routes},
};
use crate::{
    Access, Deprecated, access::Rule, method::OTHER, policy::LivePolicy, telemetry::Durations,
};

/// RPCs that belong to no contract of the platform, for the metrics.
const INFRASTRUCTURE: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A contract of ours names it.
    Contract,
    /// Answered whatever happens.
    Health,
    Other,
}

/// One method.
pub(super) struct Method {
    /// Its name in metrics and traces.
    pub(super) name: StringValue,
    pub(super) kind: Kind,
    pub(super) durations: Arc<Durations>,
    /// How long its calls may take: the contract's bounds, or what was set within them.
    pub(super) limits: Option<Limits>,
    /// How much its calls matter at most.
    pub(super) criticality: Criticality,
    /// Who may call it; none if everybody may.
    pub(super) rule: Option<Rule>,
    /// When it ends, if its contract says so.
    pub(super) deprecated: Option<Deprecated>,
    /// Who answers it; none if nobody does.
    pub(super) route: Option<Route>,
    pub(super) bulkhead: Option<Bulkhead>,
}

/// All of them.
pub(super) struct Methods {
    service: StringValue,
    table: Table,
    routes: Routes,
    bulkheads: Bulkheads,
    classify: Arc<Classify>,
    access: Access,
    known: RwLock<Known>,
    /// What all that nobody knows are counted as.
    other: Arc<Durations>,
}

struct Known {
    policy: Option<watch::Receiver<Arc<Effective>>>,
    methods: HashMap<Box<str>, Arc<Method>>,
}

impl Methods {
    /// Those of `service`, by its contracts and the policy in force.
    pub(super) fn new(
        service: StringValue,
        table: Table,
        routes: Routes,
        bulkheads: Bulkheads,
        classify: Arc<Classify>,
        access: Access,
        policy: Option<&LivePolicy>,
    ) -> Self {
        let policy = policy.map(LivePolicy::follow);
        let known = RwLock::new(Known { policy, methods: HashMap::new() });
        let other = Arc::new(Durations::server(service.clone(), OTHER.into()));
        Self { service, table, routes, bulkheads, classify, access, known, other }
    }

    /// The method at `package.Service/Method`. Costs a hash of its name.
    pub(super) fn find(&self, path: &str) -> Arc<Method> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if !known.is_old()
            && let Some(method) = known.methods.get(path)
        {
            return Arc::clone(method);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.renew();
        let method = Arc::new(self.make(path, &known));
        // Anybody can invent names.
        if method.kind != Kind::Other || INFRASTRUCTURE.contains(&path) {
            known.methods.insert(path.into(), Arc::clone(&method));
        }
        method
    }

    fn make(&self, path: &str, known: &Known) -> Method {
        let service = path.split_once('/').map_or(path, |(service, _)| service);
        let contract = self.table.method(path);
        let infrastructure = INFRASTRUCTURE.into_iter().find(|known| *known == path);
        let kind = match (contract, infrastructure) {
            (Some(_), _) => Kind::Contract,
            (None, Some(name)) if name.starts_with("grpc.health") => Kind::Health,
            _ => Kind::Other,
        };
        let name = match (contract, infrastructure) {
            (Some(contract), _) => StringValue::from(Arc::clone(&contract.path)),
            (None, name) => StringValue::from(name.unwrap_or(OTHER)),
        };
        let durations = match name.as_str() {
            OTHER => Arc::clone(&self.other),
            _ => Arc::new(Durations::server(self.service.clone(), name.clone())),
        };
        let rule = match (contract, kind) {
            (Some(contract), _) => self.access.rule(contract),
            // What the generated server does not have it says itself.
            (None, Kind::Other)
                if infrastructure.is_none() && self.table.service(service).is_none() =>
            {
                self.access.nobody()
            }
            _ => None,
        };
        Method {
            name,
            rule,
            kind,
            durations,
            limits: contract.map(|contract| known.limits(contract)),
            criticality: (self.classify)(path),
            deprecated: contract.and_then(Deprecated::of),
            route: self.routes.find(service),
            bulkhead: self.bulkheads.get(service).cloned(),
        }
    }
}

impl Known {
    /// Whether the policy has changed since.
    fn is_old(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.has_changed().unwrap_or(false))
    }

    fn renew(&mut self) {
        if let Some(policy) = &mut self.policy
            && policy.has_changed().unwrap_or(false)
        {
            policy.mark_unchanged();
            self.methods.clear();
        }
    }

    fn limits(&self, contract: &mesh_policy::Method) -> Limits {
        let policy = self.policy.as_ref().map(watch::Receiver::borrow);
        match policy.as_ref().and_then(|policy| policy.method(&contract.path)) {
            Some(set) => Limits { default: set.deadline, max: set.max_deadline },
            None => Limits { default: contract.default_deadline, max: contract.max_deadline },
        }
    }
}
