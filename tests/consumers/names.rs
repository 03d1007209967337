//! Values that are others each time, and the names that stand for them in recordings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

/// What stands for whatever is there.
pub const ANY: &str = "$any";

/// Names, and the values that they stand for in one telling of a story.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    pub fn of<const N: usize>(all: [(&str, String); N]) -> Self {
        Self(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    pub fn with(&self, more: &Names) -> Self {
        let more = more.0.clone();
        Self(self.0.clone().into_iter().chain(more).collect())
    }

    /// Whether a text is about one of these.
    pub fn occur_in(&self, text: &str) -> bool {
        self.0.values().any(|value| text.contains(value.as_str()))
    }

    /// The same with names instead of values; ids that have none yet are named in the order in which
    /// they come.
    pub fn hide(&mut self, value: &Value) -> Value {
        self.map(value, &mut |names, text| {
            let known = names.0.iter().find(|(_, value)| *value == text);
            let name = match known {
                Some((name, _)) => name.clone(),
                None if Uuid::try_parse(text).is_ok() => {
                    let name = format!("id{}", names.0.len() + 1);
                    names.0.insert(name.clone(), text.to_owned());
                    name
                }
                None => return text.to_owned(),
            };
            format!("${name}")
        })
    }

    /// The same with values instead of names; ids that have none yet get a new one.
    pub fn show(&mut self, value: &Value) -> Value {
        self.map(value, &mut |names, text| match text.strip_prefix('$') {
            Some(name) => {
                let new = || Uuid::now_v7().to_string();
                names.0.entry(name.to_owned()).or_insert_with(new).clone()
            }
            None => text.to_owned(),
        })
    }

    fn map(&mut self, value: &Value, text: &mut dyn FnMut(&mut Self, &str) -> String) -> Value {
        match value {
            Value::String(it) => Value::String(text(self, it)),
            Value::Array(all) => all.iter().map(|it| self.map(it, text)).collect(),
            Value::Object(all) => {
                all.iter().map(|(key, it)| (key.clone(), self.map(it, text))).collect()
            }
            other => other.clone(),
        }
    }
}

/// The paths of what has nothing below it.
pub fn leaves(message: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    gather(message, "", &mut found);
    found
}

fn gather(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) if !all.is_empty() => {
            for (name, value) in all {
                let dot = if path.is_empty() { "" } else { "." };
                gather(value, &format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| gather(one, path, found)),
        _ if path.is_empty() => {}
        _ => drop(found.insert(path.to_owned())),
    }
}

/// What stands at a path: several values if there is a list on the way.
pub fn at(message: &Value, path: &str) -> Vec<Value> {
    match message {
        Value::Array(all) => all.iter().flat_map(|one| at(one, path)).collect(),
        _ if path.is_empty() => vec![message.clone()],
        _ => {
            let (name, rest) = path.split_once('.').unwrap_or((path, ""));
            message.get(name).map(|value| at(value, rest)).unwrap_or_default()
        }
    }
}

/// What is to be found at a path again: the value, if there is one and not several.
pub fn pattern(message: &Value, path: &str, names: &Names) -> Option<Value> {
    let mut values = at(message, path);
    values.dedup();
    let value = values.pop()?;
    let text = value.as_str().unwrap_or_default();
    let is_any = !values.is_empty() || value.is_object() || is_moment(text);
    let named = names.0.iter().find(|(_, known)| *known == text);
    Some(match named {
        _ if is_any => json!(ANY),
        Some((name, _)) => json!(format!("${name}")),
        None if Uuid::try_parse(text).is_ok() => json!(ANY),
        None => value,
    })
}

/// Days and moments are others every day, if not each time.
fn is_moment(text: &str) -> bool {
    let day = text.get(..10).unwrap_or_default();
    day.split('-').map(str::len).eq([4, 2, 2])
        && day.bytes().all(|it| it.is_ascii_digit() || it == b'-')
}

/// Whether what was found is as a pattern says.
pub fn fits(pattern: &Value, found: Option<&Value>) -> bool {
    found.is_some_and(|found| pattern == ANY || pattern == found)
}
