//! Every facet of the policy of calls, who enforces it, and what gRPC's service config makes of it.
//!
//! A value of the policy that none of these covers, or that two do, stops the generator: nothing is
//! lost without a word, and nothing is enforced by two.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use mesh_policy::Effective;
use serde_json::{Map, Value};

/// Values of the policy that one and the same enforces.
pub(super) struct Facet {
    /// Their names, as `cargo mesh policy --json` has them below `methods`, `services`, `targets` and
    /// `server`; a dot at the end is all that begin so.
    pub keys: &'static [&'static str],
    /// Who holds to it.
    pub enforcer: Enforcer,
    /// What a client is told of it.
    pub told: Told,
}

/// Who holds to a facet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Enforcer {
    /// The client's stack.
    Caller,
    /// The server's, whatever the client is written in.
    Callee,
    /// It is a fact that another facet rests on.
    Nobody,
}

/// What a service config makes of a facet.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// The same, under this name.
    Same(&'static str),
    /// Under this name; what differs.
    Other(&'static str, &'static str),
    /// Nothing; what that means.
    Lost(&'static str),
    /// Nothing, and nothing is needed.
    Needless,
}

use Enforcer::{Callee, Caller, Nobody};
use Told::{Lost, Needless, Other, Same};

pub(super) const FACETS: [Facet; 21] = [
    facet(
        &["methods.deadline"],
        Caller,
        Other(
            "`timeout`",
            "it also cuts longer deadlines, since the shorter of the two counts: who needs more than \
             the default, up to `max_deadline`, takes it out. In `core/` there is none, and the callee's \
             own default ends the call, if the callee can",
        ),
    ),
    facet(&["methods.max_deadline"], Callee, Needless),
    facet(
        &["methods.retry_codes"],
        Caller,
        Other(
            "`retryableStatusCodes`",
            "UNAVAILABLE alone: after RESOURCE_EXHAUSTED a call is repeated only if the callee says \
             when, and the standard would repeat it unasked",
        ),
    ),
    facet(&["methods.retry.attempts"], Caller, Same("`maxAttempts`")),
    facet(&["methods.retry.first_backoff"], Caller, Same("`initialBackoff`")),
    facet(&["methods.retry.multiplier"], Caller, Same("`backoffMultiplier`")),
    facet(&["methods.retry.max_backoff"], Caller, Same("`maxBackoff`")),
    facet(
        &["methods.hedging", "methods.hedge."],
        Caller,
        Lost(
            "the standard hedges after a fixed time and not after what the slowest twentieth takes, \
             and few libraries do; these RPCs are retried instead",
        ),
    ),
    facet(
        &["methods.idempotency"],
        Caller,
        Other(
            "`retryPolicy`, where there is one",
            "an RPC that is not safe to repeat has none; what the callee surely has not seen, libraries \
             send again by themselves",
        ),
    ),
    facet(&["methods.request_id"], Callee, Needless),
    facet(&["methods.criticality"], Callee, Needless),
    facet(
        &["methods.access"],
        Callee,
        Lost("who calls is shown by each call: a user's token in its metadata, `authorization`"),
    ),
    facet(&["services.owner"], Nobody, Needless),
    facet(&["services.concurrency"], Callee, Needless),
    facet(&["targets.budget.tokens"], Caller, Same("`maxTokens`")),
    facet(&["targets.budget.ratio"], Caller, Same("`tokenRatio`")),
    facet(
        &["targets.bulkhead."],
        Caller,
        Lost("calls under way are bounded by the callee alone, which refuses what is too much"),
    ),
    facet(
        &["targets.breaker.", "targets.outlier."],
        Caller,
        Lost(
            "an endpoint that says it is unready, or cannot be reached, is passed over; one that answers \
             with errors is not",
        ),
    ),
    facet(
        &["targets.balance."],
        Caller,
        Other(
            "`loadBalancingConfig`: `round_robin`",
            "every endpoint gets the same share, the slow one and the new one too",
        ),
    ),
    facet(
        &["targets.connection."],
        Caller,
        Lost(
            "a service config has no room for it: keepalive and back-off are the channel's arguments",
        ),
    ),
    facet(&["server."], Callee, Needless),
];

const fn facet(keys: &'static [&'static str], enforcer: Enforcer, told: Told) -> Facet {
    Facet { keys, enforcer, told }
}

/// Refuses a policy of which a value has no facet, or two, and a facet without a value.
pub(super) fn check(policy: &Effective, facets: &[Facet]) -> Result<()> {
    let names = names(&policy.to_json());
    let covers = |key: &str, name: &str| match key.strip_suffix('.') {
        Some(_) => name.starts_with(key),
        None => name == key,
    };
    for name in &names {
        let found = facets.iter().flat_map(|facet| facet.keys).filter(|key| covers(key, name));
        match found.count() {
            1 => {}
            0 => bail!("{name}: nobody says who enforces it; FACETS has to"),
            count => bail!("{name}: {count} facets are about it, and one enforcer is enough"),
        }
    }
    for key in facets.iter().flat_map(|facet| facet.keys) {
        if !names.iter().any(|name| covers(key, name)) {
            bail!("{key}: the policy has no such value any more");
        }
    }
    Ok(())
}

/// Every value of a policy: `methods.deadline`, `server.max_age`.
fn names(policy: &Value) -> Vec<String> {
    let mut names = BTreeMap::new();
    let mut note = |part: &str, values: &Value| {
        for key in values.as_object().into_iter().flat_map(Map::keys) {
            names.insert(format!("{part}.{key}"), ());
        }
    };
    for part in ["methods", "services", "targets"] {
        for values in policy[part].as_object().into_iter().flat_map(Map::values) {
            note(part, values);
        }
    }
    note("server", &policy["server"]);
    names.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::clients::contracts;

    #[test]
    fn every_value_of_the_policy_has_one_enforcer() {
        check(&contracts().unwrap(), &FACETS).unwrap();
    }

    #[test]
    fn a_facet_that_is_lost_told_twice_or_gone_stops_the_generator() {
        let contracts = contracts().unwrap();
        let why = |facets: Vec<Facet>| check(&contracts, &facets).unwrap_err().to_string();
        let others = |key: &'static str| FACETS.into_iter().filter(move |it| it.keys != [key]);
        let one = |key: &'static [&'static str]| facet(key, Callee, Needless);

        let lost = why(others("targets.budget.ratio").collect());
        assert!(lost.starts_with("targets.budget.ratio: nobody says"), "{lost}");
        let twice = why(FACETS.into_iter().chain([one(&["targets.budget."])]).collect());
        assert!(twice.starts_with("targets.budget.ratio: 2 facets"), "{twice}");
        let gone = why(FACETS.into_iter().chain([one(&["server_side"])]).collect());
        assert!(gone.starts_with("server_side: the policy has no such value"), "{gone}");
    }
}
