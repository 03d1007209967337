//! `gen`: files that are made from what the services declare.

use std::process::ExitCode;

use anyhow::Result;
use meshctl::generate::{self, Drift};
use meshctl::graph::Graph;
use meshctl::services;

use crate::output;
use crate::project::Project;

/// Whether to write.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::GEN)]
pub struct Args {
    /// Change nothing; exit 1 if something is out of date.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let root = Project::find()?.root;
    // Refused with file and line, before anything is made of it.
    Graph::read(services::sources())?;
    let pages = generate::pages(&services::declarations()?)?;
    let drift = match args.check {
        true => generate::drift(&root, &pages)?,
        false => generate::write(&root, &pages)?,
    };
    for drifted in &drift {
        println!("  {}", told(drifted, args.check));
    }
    match (args.check, drift.is_empty()) {
        (_, true) => println!("  all {} files are up to date", pages.len()),
        (true, false) => println!("  run `{} gen`", output::program()),
        (false, false) => {}
    }
    Ok(if args.check && !drift.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn told(drift: &Drift, check: bool) -> String {
    match (drift, check) {
        (Drift::Missing(path), true) => format!("{path} is missing"),
        (Drift::Differs(path, line), true) => format!("{path} is out of date from line {line} on"),
        (Drift::Stray(path), true) => format!("{path} is not made any more"),
        (Drift::Missing(path) | Drift::Differs(path, _), false) => format!("{path} is written"),
        (Drift::Stray(path), false) => format!("{path} is removed"),
    }
}
