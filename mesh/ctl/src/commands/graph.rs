//! `graph`: who calls whom and who hears of whom.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use meshctl::graph::{Edge, Graph};
use meshctl::services;
use meshctl::traces::{Talk, ask_talks};
use serde_json::json;

use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// Of so many pairs is told how much they say.
const SHOWN: usize = 5;

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
        return lint(&graph, &heard().await, args.json);
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

/// What the shop that runs here says of itself, or why nothing does.
async fn heard() -> Result<Vec<Talk>> {
    let state = State::load(&Project::find()?.home)?;
    let kept = state.traces.context("the shop that runs here keeps no traces")?;
    let talks = ask_talks(kept.address).await?;
    ensure!(!talks.is_empty(), "the shop that runs here has answered nothing yet that was traced");
    Ok(talks)
}

fn lint(graph: &Graph, heard: &Result<Vec<Talk>>, json: bool) -> Result<ExitCode> {
    let mut findings = graph.lint();
    if let Ok(talks) = heard {
        findings.extend(graph.chatty(talks));
    }
    let verdict = if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json {
        output::json(&json!({ "findings": findings, "talks": heard.as_ref().ok() }))?;
        return Ok(verdict);
    }
    if findings.is_empty() {
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
    output::put(&match heard {
        Ok(talks) => talkative(talks),
        Err(error) => format!(
            "  who asks too often for one request, traces would show: {error:#}.\n  `{0} up`, `{0} demo`, \
             and ask again\n",
            output::program()
        ),
    })?;
    Ok(verdict)
}

/// The pairs that say most to each other, chatty or not.
fn talkative(talks: &[Talk]) -> String {
    let mut most: Vec<_> = talks.iter().collect();
    most.sort_by(|a, b| b.per_request().total_cmp(&a.per_request()));
    let row = |talk: &&Talk| {
        vec![
            (format!("{} → {}", talk.from, talk.to), Tone::Strong),
            (format!("{:.1} calls", talk.per_request()), Tone::Plain),
            (format!("for one {}", talk.request), Tone::Plain),
            (format!("seen for {}", talk.requests), Tone::Faint),
        ]
    };
    output::table(&most.iter().take(SHOWN).map(row).collect::<Vec<_>>())
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
