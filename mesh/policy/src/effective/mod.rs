//! Contracts and operational values together: what holds now, and where each value comes from.

mod calls;
mod rows;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    Overlay, Refused, Table,
    overlay::{Fields, Section, Slot, unknown},
    values::{Call, Server, Target},
};
use calls::Calls;

/// What holds for every call: contracts, defaults, and an [`Overlay`] within them.
///
/// It never changes; a new overlay makes a new one. A look-up is one hash of a name and copies
/// nothing.
#[derive(Clone, Debug)]
pub struct Effective {
    contracts: Arc<Table>,
    calls: HashMap<Arc<str>, Calls>,
    targets: BTreeMap<String, Entry<Target>>,
    any_target: Entry<Target>,
    services: HashMap<Arc<str>, Entry<usize>>,
    server: Entry<Server>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The contract says it.
    Contract,
    /// Nobody says anything else.
    Default,
    /// The overlay says it, in this table.
    File(Arc<str>),
}

/// One value with its key, such as `retry.attempts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is called: in an overlay too, unless it is a fact of the contract.
    pub key: String,
    /// A number, a truth value or a text; times as `250ms`.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
}

impl Effective {
    /// Holds `overlay` against `contracts`.
    ///
    /// Refused are keys and RPCs that do not exist, values out of bounds, and what the contracts
    /// do not allow; each with its key and the reason. If anything is refused, nothing applies.
    /// Contracts must include every RPC and service that the overlay names; targets may be any.
    pub fn new(contracts: Arc<Table>, overlay: &Overlay) -> Result<Self, Refused> {
        let mut refused = Refused::default();
        let calls = calls::all(&contracts, overlay, &mut refused);
        let (targets, any_target) = targets(overlay, &mut refused);
        let services = services(&contracts, overlay, &mut refused);
        let mut server = Entry::of(Server::default());
        if let Some(section) = overlay.server() {
            server.apply(&section, &mut refused);
        }
        refused.or(Self { contracts, calls, targets, any_target, services, server })
    }

    /// What holds without an overlay.
    pub fn of_contracts(contracts: Arc<Table>) -> Self {
        Self::new(contracts, &Overlay::default()).expect("an overlay that says nothing is within")
    }

    /// The contracts that it rests on: facts such as idempotency, criticality and retry codes.
    pub fn contracts(&self) -> &Arc<Table> {
        &self.contracts
    }

    /// How calls of `package.Service/Method` are bounded and repeated.
    pub fn method(&self, path: &str) -> Option<&Call> {
        self.calls.get(path).map(|calls| &calls.call)
    }

    /// What holds for all calls to the service that discovery knows as `name`.
    pub fn target(&self, name: &str) -> &Target {
        &self.targets.get(name).unwrap_or(&self.any_target).value
    }

    /// How many calls of `package.Service` one process works on at once; none if nothing bounds it
    /// beside the server's own bulkhead.
    pub fn concurrency(&self, service: &str) -> Option<usize> {
        self.services.get(service).map(|entry| entry.value)
    }

    /// What holds for the server of this process.
    pub fn server(&self) -> &Server {
        &self.server.value
    }
}

/// Values and the sources of those that a file gave.
#[derive(Clone, Debug)]
struct Entry<T> {
    value: T,
    files: BTreeMap<String, Arc<str>>,
}

impl<T> Entry<T> {
    fn of(value: T) -> Self {
        Self { value, files: BTreeMap::new() }
    }

    fn source(&self, key: &str, otherwise: Source) -> Source {
        self.files.get(key).map_or(otherwise, |section| Source::File(Arc::clone(section)))
    }
}

impl<T: Fields> Entry<T> {
    fn apply(&mut self, section: &Section<'_>, refused: &mut Refused) {
        let name: Arc<str> = section.key.as_str().into();
        let files = &mut self.files;
        section.apply(&mut self.value, &[], refused, |key| {
            files.insert(key.to_owned(), Arc::clone(&name));
        });
    }
}

fn targets(
    overlay: &Overlay,
    refused: &mut Refused,
) -> (BTreeMap<String, Entry<Target>>, Entry<Target>) {
    let sections = overlay.parts("targets", refused);
    let mut any = Entry::of(Target::default());
    if let Some(section) = sections.iter().find(|section| section.name == "*") {
        any.apply(section, refused);
    }
    let mut targets = BTreeMap::new();
    for section in sections.iter().filter(|section| section.name != "*") {
        let mut entry = any.clone();
        entry.apply(section, refused);
        targets.insert(section.name.to_owned(), entry);
    }
    (targets, any)
}

/// The bound of one service: what the contract says, or less.
struct Concurrency<'a> {
    value: &'a mut usize,
    bound: usize,
}

impl Fields for Concurrency<'_> {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("concurrency", Slot::Share(self.value, self.bound));
    }
}

fn services(
    contracts: &Table,
    overlay: &Overlay,
    refused: &mut Refused,
) -> HashMap<Arc<str>, Entry<usize>> {
    let mut services: HashMap<_, _> = contracts
        .services()
        .filter_map(|service| Some((Arc::clone(&service.name), Entry::of(service.concurrency?))))
        .collect();
    for section in overlay.parts("services", refused) {
        let Some(service) = contracts.service(section.name) else {
            let known = contracts.services().map(|service| &*service.name).collect::<Vec<_>>();
            refused.add(section.key.clone(), unknown(section.name, known, "service"));
            continue;
        };
        let bound = service.concurrency.unwrap_or(65_536);
        let entry = services.entry(Arc::clone(&service.name)).or_insert_with(|| Entry::of(bound));
        let mut fields = Concurrency { value: &mut entry.value, bound };
        let name: Arc<str> = section.key.as_str().into();
        section.apply(&mut fields, &[], refused, |key| {
            entry.files.insert(key.to_owned(), Arc::clone(&name));
        });
    }
    services
}

#[cfg(test)]
mod tests;
