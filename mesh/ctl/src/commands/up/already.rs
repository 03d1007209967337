//! What is asked of `up` where a shop is up already, which stays as it is.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Args, in_process};
use crate::platform::{Plan, Replacement};
use crate::services;
use crate::state::State;

/// What is asked for and not there, as options name it.
///
/// # Errors
/// What is asked for cannot be.
pub(super) fn missing(
    args: &Args,
    replaced: &BTreeMap<String, Replacement>,
    state: &State,
    plan: Option<&Plan>,
) -> Result<Vec<&'static str>> {
    let replicas = services::replicas(&args.replicas)?;
    let canaries = services::versions(&args.canary)?;
    let together = in_process(args, replaced)?;
    let runs = |is_so: &dyn Fn(&Plan) -> bool| plan.is_some_and(is_so);
    let count = |plan: &Plan, name: &String| plan.replicas.get(name).copied().unwrap_or(1);
    let all = [
        ("--mtls", args.mtls, state.caller.is_certified()),
        ("--istio", args.istio, state.caller.is_behind_sidecar()),
        ("Prometheus", args.observe, state.prometheus.is_some()),
        // What lies beside an installed program is optimised, too.
        ("--release", args.release, runs(&|plan| !plan.binaries.ends_with("debug"))),
        ("--untraced", args.untraced, runs(&|plan| plan.untraced)),
        (
            "that --in-process",
            !together.is_empty(),
            runs(&|plan| together.iter().all(|name| plan.in_process.contains(name))),
        ),
        (
            "those --replicas",
            !replicas.is_empty(),
            runs(&|plan| replicas.iter().all(|(name, asked)| count(plan, name) == *asked)),
        ),
        (
            "that --replace",
            !replaced.is_empty(),
            runs(&|plan| replaced.iter().all(|(name, it)| plan.replaced.get(name) == Some(it))),
        ),
        (
            "that --canary",
            !canaries.is_empty(),
            runs(&|plan| canaries.iter().all(|(name, it)| plan.canaries.get(name) == Some(it))),
        ),
    ];
    let missing = all.into_iter().filter(|(_, is_asked, is_there)| *is_asked && !is_there);
    Ok(missing.map(|(name, ..)| name).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        args: Args,
    }

    /// What a shop that was started with orders=2 is without.
    fn lacks(asked: &[&str]) -> Vec<&'static str> {
        let server = json!({ "url": "", "pid": 1 });
        let state = json!({ "version": 1, "services": {}, "nats": server, "postgres": server });
        let state: State = serde_json::from_value(state).unwrap();
        let plan = json!({
            "replicas": { "orders": 2 }, "in_process": ["payments"],
            "binaries": "/t/debug", "meshctl": "/t/debug/meshctl",
        });
        let plan: Plan = serde_json::from_value(plan).unwrap();
        let Asked { args } = Asked::parse_from([&["up"], asked].concat());
        let said = missing(&args, &BTreeMap::new(), &state, Some(&plan)).unwrap();
        assert!(missing(&args, &BTreeMap::new(), &state, None).unwrap().len() >= said.len());
        said
    }

    #[test]
    fn what_is_there_is_not_missed() {
        assert!(lacks(&[]).is_empty());
        assert!(lacks(&["--replicas", "orders=2,catalog=1", "--in-process=payments"]).is_empty());
    }

    #[test]
    fn whatever_is_asked_for_besides_is_named() {
        assert_eq!(lacks(&["--replicas", "orders=3"]), ["those --replicas"]);
        assert_eq!(lacks(&["--in-process"]), ["that --in-process"]);
        assert_eq!(lacks(&["--mtls", "--release"]), ["--mtls", "--release"]);
        let more = ["--istio", "--canary", "orders=v2", "--observe", "--untraced"];
        assert_eq!(lacks(&more), ["--istio", "Prometheus", "--untraced", "that --canary"]);
    }
}
