//! `test`: every test suite, with the servers it needs.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use mesh_local::{Progress, Servers};
use tokio::process::Command;

use crate::project::Project;

/// The tests of the suite `alerts`.
const ALERTS: &str = "objectives::alerts::";

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
    /// Everything in Rust but the other suites: rules, layers, services, platform.
    Rust,
    /// A real Prometheus watches a shop that breaks.
    Alerts,
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
    let passed = cargo_test(&args).await?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn cargo_test(args: &Args) -> Result<bool> {
    let project = Project::find()?;
    let mut progress = Progress::stderr();
    // The tests would find or install them too, but without saying what takes so long.
    Servers::find(&project.home, &mut progress).await?;
    progress.finish();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&project.root).args(["test", "--workspace"]).stdin(Stdio::null());
    if let Some(Required::All) = args.require {
        // What `mesh_testkit::skipped` heeds.
        command.env("REQUIRE_ALL", "1");
    }
    let filter = args.filter.as_deref();
    match args.suite {
        Suite::All => command.args(filter),
        Suite::Rust => command.args(filter).args(["--", "--skip", ALERTS]),
        Suite::Alerts => command.arg(filter.unwrap_or(ALERTS)),
    };
    let status = command.status().await.context("cannot run cargo: is Rust installed?")?;
    Ok(status.success())
}
