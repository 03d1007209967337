//! What no declaration shows: pairs of services that call each other again and again for one request.

use super::{Finding, Graph};
use crate::top::{Glance, Metrics};

const MADE: &str = "rpc_client_call_duration_seconds_count";
const ANSWERED: &str = "rpc_server_call_duration_seconds_count";
const HEARD: &str = "mesh_consumer_handled_total";
/// Health and reflection, which are nobody's request.
const INFRASTRUCTURE: &str = "grpc.";

/// More calls of one service than this, for each request, want an RPC of their own that takes them all.
const CALLS: f64 = 5.0;
/// Fewer requests show nothing: what a process does by its clock would look like talk.
const ENOUGH: f64 = 100.0;

/// How much a service has said to another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// How often.
    pub calls: f64,
    /// What the caller answered and heard of meanwhile.
    pub requests: f64,
}

impl Graph {
    /// What processes have counted of each declared edge since they were started.
    pub fn talks(&self, glance: &Glance) -> Vec<Talk> {
        let of = |edge: &super::Edge| {
            let processes = glance.seen.iter().filter(|it| it.process.name == edge.from);
            let metrics = processes.filter_map(|it| it.metrics.as_ref());
            let (mut calls, mut requests) = (0.0, 0.0);
            for metrics in metrics {
                calls += made(metrics, &edge.from, &edge.to);
                requests += asked(metrics, &edge.from);
            }
            Talk { from: edge.from.clone(), to: edge.to.clone(), calls, requests }
        };
        self.calls.iter().map(of).collect()
    }

    /// The pairs among them that talk too much.
    pub fn chatty(&self, talks: &[Talk]) -> Vec<Finding> {
        let many = |talk: &&Talk| talk.requests >= ENOUGH && talk.calls > CALLS * talk.requests;
        let finding = |talk: &Talk| Finding {
            pattern: "chatty pair",
            evidence: format!(
                "{} made {} calls of {} for {} requests and events, {:.1} for each: one RPC that takes \
                 them all costs one round trip",
                talk.from,
                talk.calls,
                talk.to,
                talk.requests,
                talk.calls / talk.requests
            ),
            place: self.place_of(&talk.from, &talk.to),
        };
        talks.iter().filter(many).map(finding).collect()
    }
}

fn made(metrics: &Metrics, from: &str, to: &str) -> f64 {
    let is_to = |labels: &super::Labels| labels.get("target").is_some_and(|it| it == to);
    metrics.sum(MADE, from, is_to).unwrap_or_default()
}

fn asked(metrics: &Metrics, service: &str) -> f64 {
    let is_request = |labels: &super::Labels| {
        labels.get("rpc_method").is_some_and(|it| !it.starts_with(INFRASTRUCTURE))
    };
    let answered = metrics.sum(ANSWERED, service, is_request).unwrap_or_default();
    answered + metrics.sum(HEARD, service, |_| true).unwrap_or_default()
}
