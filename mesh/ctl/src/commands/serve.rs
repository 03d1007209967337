//! Several services in one process, each with its own ports and database.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use mesh_runtime::{Started, telemetry};

use super::Ending;
use crate::platform::ServeEntry;

const FLUSHING: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file with the services and their settings, callees before their callers.
    file: PathBuf,
}

/// Runs the command until SIGTERM has drained every service.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut ending = Ending::listen_without_terminal()?;
    let text = fs::read_to_string(&args.file);
    let text = text.with_context(|| format!("cannot read {}", args.file.display()))?;
    let entries: Vec<ServeEntry> = serde_json::from_str(&text)?;

    let mut running: Vec<Started> = Vec::new();
    for entry in &entries {
        let started = start(entry).await;
        running.push(started.with_context(|| format!("{} did not start", entry.service))?);
    }
    ending.wished().await;
    for started in running.iter().rev() {
        started.service.stop();
        started.service.finish().await;
    }
    telemetry::flush(FLUSHING).await;
    Ok(ExitCode::SUCCESS)
}

/// Starts one service from its command line.
macro_rules! start_service {
    ($service:ident, $arguments:expr) => {{
        let config = $service::Config::try_parse_from($arguments)?;
        telemetry::init("meshctl", &config.service)?;
        Box::pin($service::start(config)).await
    }};
}

async fn start(entry: &ServeEntry) -> Result<Started> {
    let arguments = std::iter::once(&entry.service).chain(&entry.args);
    match entry.service.as_str() {
        "catalog" => start_service!(catalog, arguments),
        "gateway" => start_service!(gateway, arguments),
        "inventory" => start_service!(inventory, arguments),
        "orders" => start_service!(orders, arguments),
        "payments" => start_service!(payments, arguments),
        "processor" => start_service!(processor, arguments),
        "shipping" => start_service!(shipping, arguments),
        "storefront" => start_service!(storefront, arguments),
        "users" => start_service!(users, arguments),
        other => bail!("there is no service `{other}`"),
    }
}
