//! `affected`: which images a change affects.

use std::process::ExitCode;

use anyhow::Result;
use meshctl::affected::{self, Affected, Tree};
use meshctl::services;

use crate::output::{self, Tone};
use crate::project::Project;

/// Since when, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::AFFECTED)]
pub struct Args {
    /// The commit to compare with; what is not committed counts.
    #[arg(long, value_name = "REV")]
    since: String,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let root = Project::find()?.root;
    let change = affected::since(&root, &args.since)?;
    let affected = Tree::read(&root, &services::declarations()?)?.affected(&change);
    if args.json {
        output::json(&affected)?;
    } else {
        output::put(&show(&affected))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(affected: &Affected) -> String {
    let Affected { files, images } = affected;
    if images.is_empty() {
        return format!("  {files} files changed, and no image with them\n");
    }
    let row = |image: &affected::Image| {
        vec![(image.image.clone(), Tone::Strong), (image.because.join(", "), Tone::Faint)]
    };
    output::table(&images.iter().map(row).collect::<Vec<_>>())
}
