//! A forest of spans as text that is the same each time: without ids and times.

use std::{collections::BTreeMap, fmt::Write as _};

use mesh_testkit::patience;
use meshctl::traces::{Forest, Kind, Node, Span};
use tokio::time::Instant;

use super::Traced;

/// Attributes that are told, by the names that they have in the text.
const TOLD: [(&str, &str); 7] = [
    ("step", "step"),
    ("attempt", "attempt"),
    ("kind", "event"),
    ("order_id", "order_id"),
    ("saga_id", "saga_id"),
    ("request_id", "request_id"),
    ("rpc.response.status_code", "status"),
];

/// Asserts that an order's story comes to look like this. Ids are told by the names given here; others
/// are not told.
pub async fn assert_story(traced: &Traced, id: &str, names: &[(&str, &str)], expected: &str) {
    let names: BTreeMap<&str, &str> = names.iter().map(|(name, id)| (*id, *name)).collect();
    comes_to(|| text(&traced.story(id), &names), expected).await;
}

/// Asserts that what is seen comes to be what is expected.
pub async fn comes_to(see: impl Fn() -> String, expected: &str) {
    let begun = Instant::now();
    loop {
        let seen = see();
        if seen == expected || begun.elapsed() > patience() {
            assert_eq!(seen, expected, "\nseen:\n{seen}\nexpected:\n{expected}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn text(forest: &Forest, names: &BTreeMap<&str, &str>) -> String {
    let mut out = String::new();
    let traces: Vec<&str> = {
        let mut traces: Vec<&str> = Vec::new();
        for node in &forest.nodes {
            if !traces.contains(&node.span.trace_id.as_str()) {
                traces.push(&node.span.trace_id);
            }
        }
        traces
    };
    let mut trace = "";
    let told = |at: &usize| !is_of_a_database(&forest.nodes[*at].span) && !is_bare(forest, *at);
    for node in (0..forest.nodes.len()).filter(told).map(|at| &forest.nodes[at]) {
        if node.span.trace_id != trace {
            trace = &node.span.trace_id;
            let number = traces.iter().position(|it| *it == trace).unwrap() + 1;
            writeln!(out, "trace {number}").unwrap();
        }
        writeln!(out, "{}{}", "  ".repeat(node.depth + 1), line(node, names, &traces)).unwrap();
    }
    out
}

/// Whether all that is known of a span is what it asked a database: it died with its process, which
/// had sent that before.
fn is_bare(forest: &Forest, at: usize) -> bool {
    let node = &forest.nodes[at];
    let below = forest.nodes[at + 1..].iter().take_while(|it| it.depth > node.depth);
    node.missing && below.map(|it| &it.span).all(is_of_a_database)
}

/// What is asked of databases is left out of these trees: they tell of calls and steps, and how many
/// statements one takes may change. `database.rs` tells of statements.
pub fn is_of_a_database(span: &Span) -> bool {
    !span.attribute("db.system.name").is_empty()
}

fn line(node: &Node, names: &BTreeMap<&str, &str>, traces: &[&str]) -> String {
    let span = &node.span;
    if node.missing {
        return "(not received)".to_owned();
    }
    let kind = match span.kind {
        Kind::Internal => "",
        Kind::Server => "server ",
        Kind::Client => "client ",
        Kind::Producer => "producer ",
        Kind::Consumer => "consumer ",
    };
    let short = span.name.rsplit('/').next().unwrap();
    let mut line = format!("{}: {kind}{short}", node.by);
    for (attribute, told) in TOLD {
        let value = span.attribute(attribute);
        let value =
            if attribute.ends_with("_id") { names.get(value).copied() } else { Some(value) };
        match value {
            None | Some("" | "OK") => {}
            Some(value) => {
                let value = value.rsplit('.').next().unwrap();
                write!(line, " {told}={value}").unwrap();
            }
        }
    }
    if span.failed {
        line += " ERROR";
    }
    for link in &span.links {
        let number = traces.iter().position(|it| *it == link.trace_id).map_or(0, |it| it + 1);
        write!(line, " link={number}").unwrap();
    }
    line
}
