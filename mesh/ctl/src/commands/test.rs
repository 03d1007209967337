//! `test`: every test suite, with the servers it needs.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use mesh_local::{Progress, Servers};
use tokio::process::Command;

use crate::project::Project;

/// Which tests.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::TEST)]
pub struct Args {
    /// Which suite.
    #[arg(long, value_enum, default_value_t = Suite::All)]
    suite: Suite,
    /// Fail where a test would be skipped because the machine lacks what it needs.
    #[arg(long, value_enum)]
    require: Option<Required>,
    /// Run only tests whose name contains this.
    filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// Everything in Rust: rules, layers, services, platform.
    Rust,
    /// All that this checkout has.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Required {
    /// Every test that is asked for.
    All,
}

/// Runs the command. Exits as `cargo test` does.
pub async fn run(args: Args) -> Result<ExitCode> {
    // Either means the one suite that there is.
    let (Suite::Rust | Suite::All) = args.suite;
    let passed = rust(args.filter.as_deref(), args.require).await?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rust(filter: Option<&str>, required: Option<Required>) -> Result<bool> {
    let project = Project::find()?;
    let mut progress = Progress::stderr();
    // The tests would find or install them too, but without saying what takes so long.
    Servers::find(&project.home, &mut progress).await?;
    progress.finish();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&project.root).args(["test", "--workspace"]).stdin(Stdio::null());
    if let Some(Required::All) = required {
        // What `mesh_testkit::skipped` heeds.
        command.env("REQUIRE_ALL", "1");
    }
    if let Some(filter) = filter {
        command.arg(filter);
    }
    let status = command.status().await.context("cannot run cargo: is Rust installed?")?;
    Ok(status.success())
}
