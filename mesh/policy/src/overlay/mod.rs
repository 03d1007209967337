//! Operational values as text: TOML that moves values within what contracts allow.
//!
//! ```toml
//! [methods."*"]                                # every RPC that it can apply to
//! retry.attempts = 2
//!
//! [methods."shop.catalog.v1.CatalogService/*"] # of one service: comes before "*"
//! deadline = "1s"
//!
//! [methods."shop.catalog.v1.CatalogService/GetProduct"]   # comes before both
//! deadline = "300ms"
//! hedge = { attempts = 2, min_delay = "10ms" }
//!
//! [targets."*"]                                # calls to every service
//! budget = { tokens = 100, ratio = 0.2 }
//!
//! [targets.payments]                           # calls to one, by its name in DISCOVERY
//! bulkhead = { calls = 64 }
//!
//! [services."shop.catalog.v1.CatalogService"]  # what a process works on at once
//! concurrency = 128
//!
//! [server]
//! peer_rate = { per_second = 500, burst = 1000 }
//! ```
//!
//! Every value of [`values`](crate::values) has its field's name as its key; times are `250ms`,
//! `5s`, `2m`, `1h`. `hedge.attempts = 1` switches hedging off, `retry.attempts = 1` retries,
//! `per_second = 0` a rate. A value under a pattern applies to the RPCs that it can apply to:
//! deadlines not to streams, retries and hedging only where the contract allows them.

mod fields;

use std::fmt;

use crate::nearest;
pub(crate) use fields::{Fields, Slot, inside};

/// The tables that a text may have.
const SECTIONS: [&str; 4] = ["methods", "targets", "services", "server"];

/// Operational values as somebody wrote them, not yet held against contracts. The default one says
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    root: toml::Table,
}

impl Overlay {
    /// Reads TOML. What it says is held against contracts by [`Effective::new`].
    ///
    /// [`Effective::new`]: crate::Effective::new
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let root = text.parse::<toml::Table>().map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            Refused::one(format!("line {line}"), error.message().to_owned())
        })?;
        let mut refused = Refused::default();
        for key in root.keys().filter(|key| !SECTIONS.contains(&key.as_str())) {
            refused.add(key.clone(), unknown(key, SECTIONS, "table"));
        }
        refused.or(Self { root })
    }

    /// The named parts of a table, such as of `methods`, in the order of their names.
    pub(crate) fn parts<'a>(&'a self, table: &'a str, refused: &mut Refused) -> Vec<Section<'a>> {
        let Some(value) = self.root.get(table) else { return Vec::new() };
        let Some(parts) = value.as_table() else {
            refused.add(table.to_owned(), "must be a table".to_owned());
            return Vec::new();
        };
        let mut found: Vec<_> = parts
            .iter()
            .map(|(name, value)| Section { key: part_key(table, name), name, value })
            .collect();
        found.sort_by(|a, b| a.name.cmp(b.name));
        found
    }

    /// The table `server`, if there is one.
    pub(crate) fn server(&self) -> Option<Section<'_>> {
        let value = self.root.get("server")?;
        Some(Section { key: "server".to_owned(), name: "server", value })
    }
}

/// One table of the text, about one thing or the things that a pattern names.
pub(crate) struct Section<'a> {
    /// What it is called in the text: `methods."*"`.
    pub key: String,
    /// What it is about: `*`.
    pub name: &'a str,
    value: &'a toml::Value,
}

impl Section<'_> {
    /// Gives `group` the values that stand here, and tells of each that was set by its key.
    ///
    /// A key that the group does not take is refused, unless it is one of `others`.
    pub fn apply(
        &self,
        group: &mut dyn Fields,
        others: &[String],
        refused: &mut Refused,
        mut set: impl FnMut(&str),
    ) {
        if !self.value.is_table() {
            return refused.add(self.key.clone(), "must be a table".to_owned());
        }
        let leaves = self.leaves();
        let mut known = others.to_vec();
        let mut used = Vec::new();
        group.each(&mut |key, slot| {
            if let Some((_, value)) = leaves.iter().find(|(leaf, _)| leaf == key) {
                match slot.set(value) {
                    Ok(()) => set(key),
                    Err(why) => refused.add(self.within(key), why),
                }
                used.push(key.to_owned());
            }
            known.push(key.to_owned());
        });
        for (leaf, _) in leaves.iter().filter(|(leaf, _)| !used.contains(leaf)) {
            if !others.contains(leaf) {
                let why = unknown(leaf, known.iter().map(String::as_str), "value");
                refused.add(self.within(leaf), why);
            }
        }
        if let Err((key, why)) = group.check() {
            refused.add(self.within(key), why);
        }
    }

    /// The full key of a value of this table.
    pub fn within(&self, key: &str) -> String {
        format!("{}.{key}", self.key)
    }

    /// Whether the table has a value with this key, or one within it.
    pub fn has(&self, key: &str) -> bool {
        let is_in = |leaf: &str| {
            leaf.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.leaves().iter().any(|(leaf, _)| is_in(leaf))
    }

    fn leaves(&self) -> Vec<(String, &toml::Value)> {
        let mut leaves = Vec::new();
        if let Some(table) = self.value.as_table() {
            collect(table, "", &mut leaves);
        }
        leaves
    }
}

/// Why a text is refused: each key with the reason and the bound in words. Nothing of it applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    reasons: Vec<(String, String)>,
}

impl Refused {
    /// Lists the keys and what is wrong with each, in the order in which they were found.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, &str)> {
        self.reasons.iter().map(|(key, why)| (&**key, &**why))
    }

    pub(crate) fn one(key: String, why: String) -> Self {
        Self { reasons: vec![(key, why)] }
    }

    /// Adds a reason, unless there is one for this key.
    pub(crate) fn add(&mut self, key: String, why: String) {
        if !self.reasons.iter().any(|(known, _)| *known == key) {
            self.reasons.push((key, why));
        }
    }

    /// The value, if there is no reason to refuse it.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.reasons.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, why)) in self.reasons.iter().enumerate() {
            write!(f, "{}{key}: {why}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Says that nothing has this name, and which ones are like it.
pub(crate) fn unknown<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
) -> String {
    let near = nearest(name, known.clone());
    if near.is_empty() {
        let mut all: Vec<_> = known.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        // A list of every RPC helps nobody.
        if all.len() > 20 {
            return format!("there is no such {what}");
        }
        return format!("there is no such {what}: only {}", all.join(", "));
    }
    format!("there is no such {what}: did you mean {}?", near.join(" or "))
}

/// `methods."*"`, `targets.payments`
fn part_key(table: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        format!("{table}.{name}")
    } else {
        format!("{table}.\"{name}\"")
    }
}

/// Every value of a table and of the tables in it, by its dotted key.
fn collect<'a>(table: &'a toml::Table, prefix: &str, leaves: &mut Vec<(String, &'a toml::Value)>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value.as_table() {
            Some(inner) => collect(inner, &format!("{key}."), leaves),
            None => leaves.push((key, value)),
        }
    }
}
