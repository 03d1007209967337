//! Every value of every object, by the place where it stands: each has one rule, and each rule finds
//! its value. What only makes sense beside other objects is left to those who look at all of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use mesh_local::Declaration;
use serde_json::Value;

use super::world::World;
use super::{istio_rules, job_rules, pod_rules, workload_rules};

/// What must be so at one place of objects of one kind.
pub struct Rule {
    pub kind: &'static str,
    /// Keys from the object's root, with `*` for any item of a list. What ends in `?` need not be there,
    /// and what ends in `/` is everything below.
    pub place: &'static str,
    pub must: Must,
}

pub enum Must {
    /// It is this text.
    Say(&'static str),
    /// It is this number, truth value, list or object, as JSON writes it.
    Be(&'static str),
    /// It is a list of so many.
    Count(usize),
    /// This says yes.
    Fit(fn(&Seen<'_>) -> bool),
    /// Whoever looks at all objects judges it.
    Elsewhere,
}

/// A value, and where it was seen.
pub struct Seen<'a> {
    pub world: &'a World,
    pub object: &'a Value,
    pub value: &'a Value,
    /// Whose object it is.
    pub service: &'a Declaration,
}

impl Seen<'_> {
    pub fn text(&self) -> &str {
        self.value.as_str().unwrap_or_default()
    }

    pub fn is_public(&self) -> bool {
        self.service.exposure == mesh_local::Exposure::Public
    }
}

/// The name of the service whose object it is.
pub fn is_service(seen: &Seen<'_>) -> bool {
    seen.text() == seen.service.service
}

pub const fn rule(kind: &'static str, place: &'static str, must: Must) -> Rule {
    Rule { kind, place, must }
}

impl Rule {
    fn is_about(&self, place: &str) -> bool {
        let exact = self.place.trim_end_matches('?') == place;
        exact || (self.place.ends_with('/') && place.starts_with(self.place))
    }
}

static RULES: LazyLock<BTreeMap<&str, Vec<&Rule>>> = LazyLock::new(|| {
    let mut rules: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    let lists = [istio_rules::RULES, workload_rules::RULES, job_rules::RULES];
    for rule in lists.into_iter().flatten().chain(pod_rules::RULES.as_flattened()) {
        rules.entry(rule.kind).or_default().push(rule);
    }
    rules
});

/// What is wrong with one object, whatever the others say.
pub fn faults(world: &World, object: &Value) -> Vec<String> {
    if object["kind"] == "Kustomization" {
        return Vec::new();
    }
    let mut values = Vec::new();
    let lists = collect(object, "", &mut values);
    let kind = object["kind"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let Some(service) = owner(world, name) else {
        return vec![format!("{kind}/{name}: nobody's")];
    };
    let rules = RULES.get(kind).map(Vec::as_slice).unwrap_or_default();
    let mut faults = Vec::new();
    for (place, value) in &values {
        let mut mine = rules.iter().filter(|rule| rule.is_about(place));
        let Some(rule) = mine.find(|rule| !matches!(rule.must, Must::Count(_))) else {
            faults.push(format!("{kind}/{name}: no rule is about {place}"));
            continue;
        };
        if !holds(&rule.must, &Seen { world, object, value, service }) {
            faults.push(format!("{kind}/{name}: {place} is {value}"));
        }
    }
    for rule in rules {
        match rule.must {
            Must::Count(count) => {
                let list = lists.iter().filter(|(place, _)| place == rule.place);
                if list.clone().count() == 0 || list.clone().any(|(_, found)| *found != count) {
                    faults.push(format!("{kind}/{name}: {} has not {count} items", rule.place));
                }
            }
            _ if rule.place.ends_with('?') => {}
            _ if values.iter().any(|(place, _)| rule.is_about(place)) => {}
            _ => faults.push(format!("{kind}/{name}: {} is missing", rule.place)),
        }
    }
    faults
}

fn holds(must: &Must, seen: &Seen<'_>) -> bool {
    match must {
        Must::Say(text) => seen.value == *text,
        Must::Be(json) => !seen.value.is_string() && seen.value.to_string().as_str() == *json,
        Must::Fit(fits) => fits(seen),
        Must::Elsewhere | Must::Count(_) => true,
    }
}

/// Notes every value that holds no other, and returns every list with its length.
fn collect<'a>(
    value: &'a Value,
    place: &str,
    values: &mut Vec<(String, &'a Value)>,
) -> Vec<(String, usize)> {
    let below = |key: &str| match place {
        "" => key.to_owned(),
        place => format!("{place}/{key}"),
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().flat_map(|(key, value)| collect(value, &below(key), values)).collect()
        }
        Value::Array(list) if !list.is_empty() => {
            let inner = list.iter().flat_map(|item| collect(item, &below("*"), values));
            let mut lists: Vec<_> = inner.collect();
            lists.push((place.to_owned(), list.len()));
            lists
        }
        _ => {
            values.push((place.to_owned(), value));
            Vec::new()
        }
    }
}

/// Whose object has this name; those of all services count as the first one's.
fn owner<'a>(world: &'a World, name: &str) -> Option<&'a Declaration> {
    const SHARED: [&str; 8] =
        ["streams", "deny-all", "default", "shop", "services", "names", "nats-clients", "policy"];
    let is_its = |declared: &&Declaration| match name.strip_prefix(&*declared.service) {
        Some(rest) => rest.is_empty() || rest.starts_with('-'),
        None => false,
    };
    let is_shared = SHARED.contains(&name) || name.starts_with("streams-");
    let shared = || world.declarations.first().filter(|_| is_shared);
    world.declarations.iter().find(is_its).or_else(shared)
}
