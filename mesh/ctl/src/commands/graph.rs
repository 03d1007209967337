//! `graph`: who calls whom and who hears of whom.

use std::process::ExitCode;

use anyhow::Result;
use meshctl::graph::{Edge, Graph};
use meshctl::services;
use serde_json::json;

use crate::output::{self, Tone};

/// How to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::GRAPH)]
pub struct Args {
    /// Print it for Graphviz.
    #[arg(long, conflicts_with_all = ["mermaid", "svg", "lint"])]
    dot: bool,
    /// Print it for Mermaid, which GitHub draws.
    #[arg(long, conflicts_with_all = ["svg", "lint"])]
    mermaid: bool,
    /// Draw it, for a browser.
    #[arg(long, conflicts_with = "lint")]
    svg: bool,
    /// Say what is unwise about it; exit 1 if anything is.
    #[arg(long)]
    lint: bool,
    /// Print JSON and nothing else.
    #[arg(long, conflicts_with_all = ["dot", "mermaid", "svg"])]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let graph = Graph::read(services::sources())?;
    if args.lint {
        return lint(&graph, args.json);
    }
    if args.json {
        output::json(&json!(graph))?;
    } else if args.dot {
        output::put(&graph.dot()?)?;
    } else if args.mermaid {
        output::put(&graph.mermaid()?)?;
    } else if args.svg {
        output::put(&graph.svg()?)?;
    } else {
        let calls = graph.calls.iter().map(|edge| row(edge, "calls"));
        let events = graph.events.iter().map(|edge| row(edge, "tells"));
        output::put(&output::table(&calls.chain(events).collect::<Vec<_>>()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lint(graph: &Graph, json: bool) -> Result<ExitCode> {
    let findings = graph.lint();
    if json {
        output::json(&json!({ "findings": findings }))?;
    } else if findings.is_empty() {
        let (calls, events) = (graph.calls.len(), graph.events.len());
        output::put(&format!("  {calls} edges of calls and {events} of events, nothing unwise\n"))?;
    } else {
        let rows = findings.iter().map(|finding| {
            vec![
                (finding.pattern.to_owned(), Tone::Bad),
                (finding.evidence.clone(), Tone::Plain),
                (finding.place.to_string(), Tone::Faint),
            ]
        });
        output::put(&output::table(&rows.collect::<Vec<_>>()))?;
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `orders  calls  catalog  BatchGetProducts  the prices of …`
fn row(edge: &Edge, verb: &str) -> Vec<(String, Tone)> {
    let short = |name: &String| name.rsplit(['/', '.']).next().unwrap_or(name).to_owned();
    vec![
        (edge.from.clone(), Tone::Strong),
        (verb.to_owned(), Tone::Faint),
        (edge.to.clone(), Tone::Strong),
        (edge.names.iter().map(short).collect::<Vec<_>>().join(", "), Tone::Plain),
        (edge.why.clone(), Tone::Faint),
    ]
}
