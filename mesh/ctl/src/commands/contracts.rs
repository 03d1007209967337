//! `contracts`: whom a change of the contracts would break.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use meshctl::contracts::{Report, compare, of_checkout, recordings};
use meshctl::{graph::Graph, services};
use prost_reflect::DescriptorPool;

use crate::output::{self, Tone};
use crate::project::Project;

/// Which contracts, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::CONTRACTS)]
pub struct Args {
    /// Compare with the contracts of this descriptor set instead of those in proto/.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let root = Project::find()?.root;
    let pool = match &args.against {
        None => of_checkout(&root)?,
        Some(file) => {
            let set = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let pool = DescriptorPool::decode(&*set);
            pool.with_context(|| format!("{} is no descriptor set", file.display()))?
        }
    };
    let graph = Graph::read(services::sources())?;
    let report = compare(&pool, &recordings(&root)?, &graph);
    if args.json {
        output::json(&report)?;
    } else {
        output::put(&show(&report))?;
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &Report) -> String {
    let Report { consumers, rpcs, fields, reasons, events, .. } = report;
    let mut text = String::new();
    if report.findings.is_empty() {
        text += &format!(
            "  {consumers} consumers rely on {rpcs} RPCs, {events} events, {fields} fields and \
             {reasons} reasons: all are there\n"
        );
    }
    let rows = report.findings.iter().map(|finding| {
        vec![
            (finding.consumer.clone(), Tone::Bad),
            ("relies on".to_owned(), Tone::Faint),
            (finding.provider.clone(), Tone::Strong),
            (finding.of.rsplit('.').next().unwrap_or(&finding.of).to_owned(), Tone::Plain),
            (finding.change.clone(), Tone::Plain),
        ]
    });
    text += &output::table(&rows.collect::<Vec<_>>());
    if !report.reasons_compared {
        text += "  reasons are not compared: these contracts come without comments\n";
    }
    text
}
