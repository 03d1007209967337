//! The background half of `up --detach`.

use std::process::ExitCode;

use anyhow::Result;
use mesh_local::Progress;

use super::Ending;
use crate::platform::{Claim, Plan, Running};
use crate::project::Project;

/// How it ends when another process looks after the shop: `up` leaves it to that one.
pub const TAKEN: u8 = 75;

/// Runs the command.
pub async fn run() -> Result<ExitCode> {
    // Leaves the terminal: its Ctrl-C and its end are none of our business.
    if let Err(error) = rustix::process::setsid() {
        eprintln!("cannot leave the terminal: {error}");
    }
    let mut ending = Ending::listen()?;
    let project = Project::find()?;
    let Some(claim) = Claim::take(&project.home)? else {
        eprintln!("another process looks after {}", project.home.root().display());
        return Ok(ExitCode::from(TAKEN));
    };
    let plan = Plan::load(&project.home)?;
    let mut progress = Progress::stderr();
    let running = Running::start(&project.home, claim, &plan, &mut progress).await?;
    ending.wished().await;
    running.shut_down(&mut progress).await?;
    Ok(ExitCode::SUCCESS)
}
