//! What is taken out of answers and events on their way to a consumer.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

/// Another reason than any that a contract names.
const NO_REASON: &str = "NO_SUCH_REASON";

/// One thing that an answer or an event says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// A field, by its path: `charge.captured.units`.
    Field(String),
    /// Why a call is refused.
    Reason(String),
    /// A value beside a reason, by its key.
    Metadata(String, String),
}

/// What is said, by the RPC or event that says it.
pub type Sayings = BTreeMap<String, BTreeSet<Said>>;

/// What is changed on the way.
#[derive(Clone, Debug, Default)]
pub enum Change {
    /// Nothing.
    #[default]
    Nothing,
    /// This is not said.
    Without(Sayings),
    /// Nothing but this is said by those that are named.
    Only(Sayings),
}

impl Change {
    /// What arrives of a message that `of` has said.
    pub fn message(&self, of: &str, message: &DynamicMessage) -> DynamicMessage {
        let mut changed = message.clone();
        match self {
            Self::Nothing => {}
            Self::Without(all) => {
                for path in fields(all.get(of)) {
                    clear(&mut changed, path);
                }
            }
            Self::Only(all) => {
                if let Some(said) = all.get(of) {
                    let kept: Vec<_> = fields(Some(said)).collect();
                    keep(&mut changed, "", &kept);
                }
            }
        }
        changed
    }

    /// What arrives of a reason and its values that `of` has given.
    pub fn refusal(
        &self,
        of: &str,
        reason: &str,
        metadata: &BTreeMap<String, String>,
    ) -> (String, BTreeMap<String, String>) {
        let arrives = |said: &Said| match self {
            Self::Nothing => true,
            Self::Without(all) => all.get(of).is_none_or(|all| !all.contains(said)),
            Self::Only(all) => all.get(of).is_none_or(|all| all.contains(said)),
        };
        let known = arrives(&Said::Reason(reason.to_owned()));
        let values = metadata
            .iter()
            .filter(|(key, _)| arrives(&Said::Metadata(reason.to_owned(), (*key).clone())));
        let values = values.map(|(key, value)| (key.clone(), value.clone())).collect();
        (if known { reason } else { NO_REASON }.to_owned(), values)
    }
}

fn fields(said: Option<&BTreeSet<Said>>) -> impl Iterator<Item = &str> {
    said.into_iter().flatten().filter_map(|said| match said {
        Said::Field(path) => Some(path.as_str()),
        Said::Reason(_) | Said::Metadata(..) => None,
    })
}

/// Clears the field at a path, in every element of the lists on the way.
fn clear(message: &mut DynamicMessage, path: &str) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = message.descriptor().get_field_by_name(name) else { return };
    let Some(rest) = rest else { return message.clear_field(&field) };
    if message.has_field(&field) {
        each(message.get_field_mut(&field), &mut |inner| clear(inner, rest));
    }
}

/// Clears all that is at none of these paths, nor below or above one.
fn keep(message: &mut DynamicMessage, prefix: &str, paths: &[&str]) {
    let set: Vec<_> = message.fields().map(|(field, _)| field).collect();
    for field in set {
        let path = format!("{prefix}{}", field.name());
        let below = format!("{path}.");
        if paths.contains(&path.as_str()) {
            continue;
        }
        if paths.iter().any(|kept| kept.starts_with(&below)) {
            each(message.get_field_mut(&field), &mut |inner| keep(inner, &below, paths));
        } else {
            message.clear_field(&field);
        }
    }
}

fn each(value: &mut Value, act: &mut dyn FnMut(&mut DynamicMessage)) {
    match value {
        Value::Message(inner) => act(inner),
        Value::List(all) => all.iter_mut().for_each(|one| each(one, act)),
        _ => {}
    }
}
