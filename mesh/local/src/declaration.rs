//! What a service declares about itself in its `mesh.toml`.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;
use toml::Spanned;

use crate::methods::Methods;
use crate::needs::{self, Bucket, Flag, Secret};
use crate::objective::{self, Objective};
use crate::scale::{self, Exposure, Scale};

/// A service's edges, and what it promises.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The service's name.
    pub service: String,
    /// The proto package it serves; none if it has no contract of its own.
    pub contract: Option<String>,
    /// Newer versions of that package which it serves beside it, on the same data.
    pub beside: Vec<String>,
    /// Where it keeps its state, such as `postgres`; none if it keeps nothing.
    pub store: Option<String>,
    /// The proto packages whose events it publishes, on a stream of its own name.
    pub publishes: Vec<String>,
    /// Whom it calls.
    pub calls: Vec<Call>,
    /// Whose events it takes.
    pub subscribes: Vec<Subscription>,
    /// The broker's buckets that it uses.
    pub buckets: Vec<Bucket>,
    /// Its settings that nobody else may see, besides the addresses of its database and broker.
    pub secrets: Vec<Secret>,
    /// Its switches that operators turn.
    pub flags: Vec<Flag>,
    /// What it promises.
    pub objectives: Vec<Objective>,
    /// Who may reach it.
    pub exposure: Exposure,
    /// The versions of it that run side by side, the oldest first; at least one.
    pub versions: Vec<String>,
    /// How many of it run, and what each is given.
    pub scale: Scale,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    service: String,
    contract: Option<String>,
    #[serde(default)]
    beside: Vec<String>,
    store: Option<String>,
    #[serde(default)]
    publishes: Vec<String>,
    #[serde(default)]
    calls: Vec<Call>,
    #[serde(default)]
    subscribes: Vec<Subscription>,
    #[serde(default)]
    buckets: Vec<needs::WrittenBucket>,
    #[serde(default)]
    secrets: Vec<needs::WrittenSecret>,
    #[serde(default)]
    flags: Vec<needs::WrittenFlag>,
    #[serde(default)]
    objectives: Vec<objective::Written>,
    #[serde(default)]
    exposure: Exposure,
    #[serde(default)]
    versions: Vec<Spanned<String>>,
    scale: Option<scale::Written>,
}

/// Calls to another service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The service that is called.
    pub service: String,
    /// The RPCs: `["Do"]`, or `"all"`.
    pub methods: Methods,
    /// What for.
    pub why: String,
}

/// Events taken from another service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The publisher's stream.
    pub stream: String,
    /// The subjects, which are full message names.
    pub subjects: Vec<String>,
    /// Whether they are heard as they are published, by every replica, and missed by whoever is away:
    /// for what can be made up for, such as a cache. Else a durable consumer takes each once.
    #[serde(default)]
    pub live: bool,
    /// What for.
    pub why: String,
}

impl Declaration {
    /// Reads the text of a `mesh.toml`. An error names the line and what was expected there.
    pub fn parse(text: &str) -> Result<Declaration> {
        let written: Written = toml::from_str(text).context("a mesh.toml cannot be read")?;
        let parts = || -> Result<_> {
            let buckets = needs::buckets(text, written.buckets)?;
            let secrets = needs::secrets(text, written.secrets)?;
            let flags = needs::flags(text, written.flags, &buckets)?;
            let objectives = objective::read(text, written.objectives)?;
            let versions = scale::versions(text, written.versions)?;
            Ok((buckets, secrets, flags, objectives, versions, scale::read(text, written.scale)?))
        };
        let (buckets, secrets, flags, objectives, versions, scale) =
            parts().context("a mesh.toml cannot be read")?;
        Ok(Declaration {
            service: written.service,
            contract: written.contract,
            beside: written.beside,
            store: written.store,
            publishes: written.publishes,
            calls: written.calls,
            subscribes: written.subscribes,
            buckets,
            secrets,
            flags,
            objectives,
            exposure: written.exposure,
            versions,
            scale,
        })
    }

    /// The proto packages it serves: its contract, and newer versions of it.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.contract.iter().chain(&self.beside).map(String::as_str)
    }

    /// Whether one of them is the package of `service`, `package.Service`.
    pub fn serves(&self, service: &str) -> bool {
        let package = service.rsplit_once('.').map(|(package, _)| package);
        self.packages().any(|its| Some(its) == package)
    }

    /// The subjects of the service's stream; none if it publishes nothing.
    pub fn subjects(&self) -> Vec<String> {
        self.publishes.iter().map(|package| format!("{package}.>")).collect()
    }

    /// Whether it needs the broker at all.
    pub fn uses_broker(&self) -> bool {
        !(self.publishes.is_empty() && self.subscribes.is_empty() && self.buckets.is_empty())
    }
}

/// The services' names so that every service comes after those it calls, as far as they do not
/// call each other in a circle.
pub fn leaves_first(declarations: &[Declaration]) -> Vec<String> {
    let names: BTreeSet<&str> = declarations.iter().map(|d| d.service.as_str()).collect();
    let mut done: Vec<String> = Vec::new();
    while done.len() < names.len() {
        let open: Vec<&Declaration> =
            declarations.iter().filter(|d| !done.contains(&d.service)).collect();
        let ready = open.iter().find(|declaration| {
            declaration.calls.iter().all(|call| {
                !names.contains(call.service.as_str())
                    || done.contains(&call.service)
                    || call.service == declaration.service
            })
        });
        match ready.or_else(|| open.first()) {
            Some(next) => done.push(next.service.clone()),
            None => break,
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::{Declaration, leaves_first};

    #[test]
    fn a_callee_comes_before_its_caller() {
        let text = |name: &str, callee: &str| {
            Declaration::parse(&format!(
                "service = \"{name}\"\ncontract = \"a.{name}.v1\"\npublishes = [\"a.{name}.v1\"]\n\
                 [[calls]]\nservice = \"{callee}\"\nmethods = [\"Do\"]\nwhy = \"because\""
            ))
            .unwrap()
        };
        let declarations = [text("a", "b"), text("b", "c"), text("c", "elsewhere")];

        assert_eq!(leaves_first(&declarations), ["c", "b", "a"]);
        assert_eq!(declarations[0].subjects(), ["a.a.v1.>"]);
    }
}
