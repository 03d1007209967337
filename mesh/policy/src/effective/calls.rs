//! What holds for the calls of one method.

use std::{collections::HashMap, sync::Arc};

use super::{Entry, Source};
use crate::{
    Method, Overlay, Refused, Table,
    overlay::{Fields, Section, Slot, inside, unknown},
    values::{Call, Hedge, Retry},
};

/// The values of one method.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub call: Call,
    /// As configured, be it switched off or not; without meaning if the contract forbids it.
    pub hedge: Hedge,
    pub entry: Entry<()>,
}

/// The values of one method that may be turned, with their keys.
pub(super) struct CallFields<'a> {
    call: &'a mut Call,
    hedge: &'a mut Hedge,
    contract: &'a Method,
    /// Whether deadlines may be turned: not those of a stream by a pattern that is for calls.
    timed: bool,
}

impl Calls {
    pub fn new(contract: &Method) -> Self {
        let retry = match contract.retry_codes.is_empty() {
            true => Retry { attempts: 1, ..Retry::default() },
            false => Retry::default(),
        };
        let hedge = Hedge::default();
        let call = Call {
            deadline: contract.default_deadline,
            max_deadline: contract.max_deadline,
            retry,
            hedge: contract.hedging.then_some(hedge),
        };
        Self { call, hedge, entry: Entry::of(()) }
    }

    pub fn fields<'a>(&'a mut self, contract: &'a Method, timed: bool) -> CallFields<'a> {
        CallFields { call: &mut self.call, hedge: &mut self.hedge, contract, timed }
    }

    /// Where a value comes from.
    pub fn source(&self, contract: &Method, key: &str) -> Source {
        let fixed = key == "retry.attempts" && contract.retry_codes.is_empty();
        let is_fact = fixed || matches!(key, "deadline" | "max_deadline");
        self.entry.source(key, if is_fact { Source::Contract } else { Source::Default })
    }

    fn apply(&mut self, contract: &Method, section: &Section<'_>, refused: &mut Refused) {
        let is_pattern = section.name != &*contract.path;
        if !is_pattern {
            refuse_forbidden(contract, section, refused);
        }
        let name: Arc<str> = section.key.as_str().into();
        let mut files = std::mem::take(&mut self.entry.files);
        let timed = !(is_pattern && contract.is_streaming());
        section.apply(&mut self.fields(contract, timed), &keys(), refused, |key| {
            files.insert(key.to_owned(), Arc::clone(&name));
        });
        self.entry.files = files;
    }

    /// Makes values fit together that were turned apart.
    fn settle(&mut self, contract: &Method, refused: &mut Refused) {
        let is_on = contract.hedging && self.hedge.attempts > 1;
        self.call.hedge = is_on.then_some(self.hedge);
        if self.call.deadline <= self.call.max_deadline {
            return;
        }
        match self.entry.files.get("deadline") {
            Some(section) => {
                let most = crate::time::text(self.call.max_deadline);
                let why = format!("is above the max_deadline of {}, {most}", contract.path);
                refused.add(format!("{section}.deadline"), why);
            }
            // Who lowers the longest one means the usual one too.
            None => {
                self.call.deadline = self.call.max_deadline;
                if let Some(section) = self.entry.files.get("max_deadline").cloned() {
                    self.entry.files.insert("deadline".to_owned(), section);
                }
            }
        }
    }
}

impl Fields for CallFields<'_> {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        if self.timed {
            let most = self.contract.max_deadline;
            visit("deadline", Slot::Bounded(&mut self.call.deadline, most));
            visit("max_deadline", Slot::Bounded(&mut self.call.max_deadline, most));
        }
        if !self.contract.retry_codes.is_empty() {
            inside("retry", &mut self.call.retry, visit);
        }
        if self.contract.hedging {
            inside("hedge", self.hedge, visit);
        }
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        self.call.retry.check()
    }
}

/// The values of every method of the contracts.
pub(super) fn all(
    contracts: &Table,
    overlay: &Overlay,
    refused: &mut Refused,
) -> HashMap<Arc<str>, Calls> {
    let mut sections = overlay.parts("methods", refused);
    // The least special first: what comes later overrides it.
    sections.sort_by_key(|section| match section.name {
        "*" => 0,
        name if name.ends_with("/*") => 1,
        _ => 2,
    });
    let mut methods: Vec<_> = contracts.methods().collect();
    methods.sort_by(|a, b| a.path.cmp(&b.path));
    for section in &sections {
        refuse_pointless(section, &methods, refused);
    }
    let mut all = HashMap::new();
    for contract in methods {
        let mut calls = Calls::new(contract);
        for section in sections.iter().filter(|section| names(section, contract)) {
            calls.apply(contract, section, refused);
        }
        calls.settle(contract, refused);
        all.insert(Arc::clone(&contract.path), calls);
    }
    all
}

fn names(section: &Section<'_>, method: &Method) -> bool {
    match section.name.strip_suffix('*') {
        Some("") => true,
        Some(start) => start.ends_with('/') && method.path.starts_with(start),
        None => section.name == &*method.path,
    }
}

/// Refuses for one method what its contract does not allow.
fn refuse_forbidden(contract: &Method, section: &Section<'_>, refused: &mut Refused) {
    if section.has("hedge") && !contract.hedging {
        refused.add(section.within("hedge"), "the contract does not allow hedging".to_owned());
    }
    if section.has("retry") && contract.retry_codes.is_empty() {
        let why = "the contract names no code after which it is safe to repeat";
        refused.add(section.within("retry"), why.to_owned());
    }
}

/// Refuses what would apply to nothing.
fn refuse_pointless(section: &Section<'_>, methods: &[&Method], refused: &mut Refused) {
    let named: Vec<_> = methods.iter().filter(|method| names(section, method)).collect();
    if named.is_empty() {
        let known = methods.iter().map(|method| &*method.path).collect::<Vec<_>>();
        return refused.add(section.key.clone(), unknown(section.name, known, "RPC"));
    }
    let allowed = |may: fn(&Method) -> bool| named.iter().any(|method| may(method));
    for (key, can_apply) in [
        ("hedge", allowed(|method| method.hedging)),
        ("retry", allowed(|method| !method.retry_codes.is_empty())),
        ("deadline", named.len() == 1 || allowed(|method| !method.is_streaming())),
        ("max_deadline", named.len() == 1 || allowed(|method| !method.is_streaming())),
    ] {
        if section.has(key) && !can_apply && section.name.ends_with('*') {
            let why = format!("no contract of {} allows it", section.name);
            refused.add(section.within(key), why);
        }
    }
}

/// Every key that some method takes.
fn keys() -> Vec<String> {
    let mut keys = vec!["deadline".to_owned(), "max_deadline".to_owned()];
    inside("retry", &mut Retry::default(), &mut |key, _| keys.push(key.to_owned()));
    inside("hedge", &mut Hedge::default(), &mut |key, _| keys.push(key.to_owned()));
    keys
}
