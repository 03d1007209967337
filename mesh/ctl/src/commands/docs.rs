//! `docs`: pages that are written from the sources.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use meshctl::api_reference;

use crate::output;
use crate::project::Project;

/// Which page.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::DOCS)]
pub struct Args {
    #[command(subcommand)]
    page: Page,
}

#[derive(Debug, clap::Subcommand)]
enum Page {
    /// Writes docs/API.md from the contracts and their comments.
    Api {
        /// Change nothing; exit 1 if the page is out of date.
        #[arg(long)]
        check: bool,
    },
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let Page::Api { check } = args.page;
    let path = Project::find()?.root.join(api_reference::PAGE);
    let page = api_reference::page()?;
    if fs::read_to_string(&path).is_ok_and(|known| known == page) {
        println!("  {} is up to date", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    if check {
        let program = output::program();
        println!("  {} is out of date: run `{program} docs api`", path.display());
        return Ok(ExitCode::FAILURE);
    }
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    println!("  {} is written", path.display());
    Ok(ExitCode::SUCCESS)
}
