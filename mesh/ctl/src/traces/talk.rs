//! How much services say to each other for one request, as their spans show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Forest, Kind, Node, Span};

/// What a span is called that a saga is driven in.
const SAGA: &str = "saga";
/// The attribute of a call that says whom it reaches.
const TARGET: &str = "server.name";
/// The attribute that every call has, and no further attempt at it.
const METHOD: &str = "rpc.method";

/// What one service asks of another for one kind of request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Talk {
    /// Who asks.
    pub from: String,
    /// What it was asked itself: an RPC, a path, an event, or a saga that it drives.
    pub request: String,
    /// Whom it asks.
    pub to: String,
    /// Requests for which it asked at all.
    pub requests: u64,
    /// How often it asked, all of them together; an attempt at a call that failed is not counted.
    pub calls: u64,
    /// How often for the one request with most.
    pub most: u64,
    /// The trace of that one.
    pub trace: String,
}

impl Talk {
    /// Calls for each request.
    pub fn per_request(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of kept spans")]
        let mean = self.calls as f64 / self.requests.max(1) as f64;
        mean
    }
}

/// Counts what the services of these spans asked each other, whole traces each. What is asked in nobody's
/// trace, such as for a cache that many wait for, belongs to no request and is not counted.
pub fn talks(spans: Vec<Span>) -> Vec<Talk> {
    let mut traces: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for span in spans {
        traces.entry(span.trace_id.clone()).or_default().push(span);
    }
    let forest = Forest::of(traces.into_values().collect());
    // By request, and whom it was about.
    let mut asked: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for node in forest.nodes.iter().filter(|node| is_call(node)) {
        if let Some(request) = request(&forest, node) {
            *asked.entry((request, node.span.attribute(TARGET))).or_default() += 1;
        }
    }
    let mut talks: BTreeMap<(&str, &str, &str), Talk> = BTreeMap::new();
    for ((request, to), calls) in asked {
        let Node { by, span, .. } = &forest.nodes[request];
        let talk = talks.entry((by, &span.name, to)).or_insert_with(|| Talk {
            from: by.clone(),
            request: span.name.clone(),
            to: to.to_owned(),
            requests: 0,
            calls: 0,
            most: 0,
            trace: String::new(),
        });
        talk.requests += 1;
        talk.calls += calls;
        if calls > talk.most {
            talk.most = calls;
            talk.trace.clone_from(&span.trace_id);
        }
    }
    talks.into_values().collect()
}

fn is_call(node: &Node) -> bool {
    let span = &node.span;
    span.kind == Kind::Client && [TARGET, METHOD].iter().all(|it| !span.attribute(it).is_empty())
}

/// The nearest above it that somebody waits for, or that goes on until it is done.
fn request(forest: &Forest, node: &Node) -> Option<usize> {
    let mut at = node.parent;
    while let Some(index) = at {
        let above = &forest.nodes[index];
        let is_request = matches!(above.span.kind, Kind::Server | Kind::Consumer);
        if is_request || (above.span.name == SAGA && !above.missing) {
            return Some(index);
        }
        at = above.parent;
    }
    None
}
