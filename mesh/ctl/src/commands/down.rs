//! `down`: drains and stops everything.

use std::fs;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_local::{Home, Progress};

use crate::platform::Claim;
use crate::project::Project;

/// Everything drains one after the other.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to remove.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::DOWN)]
pub struct Args {
    /// Remove all data and logs as well; installed servers stay.
    #[arg(long)]
    wipe: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    let home = &project.home;
    let mut progress = Progress::stderr();
    let (claim, was_up) = match Claim::take(home)? {
        Some(claim) => (claim, false),
        None => {
            progress.step("draining");
            Claim::wrest(home, PATIENCE).await?
        }
    };
    let leftovers = claim.clean_up().await?;
    progress.finish();
    match (was_up, leftovers) {
        (true, _) => println!("  the shop is down"),
        (false, 0) => println!("  nothing was up"),
        (false, count) => println!("  stopped {count} processes that a killed `up` had left"),
    }
    if args.wipe {
        wipe(home).with_context(|| format!("cannot remove all of {}", home.root().display()))?;
        println!("  data and logs are removed");
    }
    Ok(ExitCode::SUCCESS)
}

fn wipe(home: &Home) -> Result<()> {
    for name in ["postgres", "nats", "prometheus", "logs", "run"] {
        home.wipe(name)?;
    }
    for file in ["ports.json", "plan.json", "postgres.password", "nats.password"] {
        match fs::remove_file(home.path(file)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
