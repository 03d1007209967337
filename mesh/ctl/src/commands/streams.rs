//! `streams`: the broker's streams as the services declare them, for a broker that `up` does not run.

use std::process::ExitCode;

use anyhow::Result;
use mesh_local::ensure_streams_on;
use meshctl::services;
use serde_json::json;

use crate::output;

/// Which broker.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::STREAMS)]
pub struct Args {
    /// The broker's URL, with a user that may make streams.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: String,
    /// On how many servers each stream is kept.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let declarations = services::declarations()?;
    ensure_streams_on(&args.nats_url, &declarations, args.replicas.into()).await?;
    let publishers = declarations.iter().filter(|declared| !declared.publishes.is_empty());
    let streams: Vec<_> = publishers.map(|declared| &declared.service).collect();
    if args.json {
        output::json(&json!({ "streams": streams, "replicas": args.replicas }))?;
    } else {
        for stream in streams {
            println!("  {stream} is as declared");
        }
    }
    Ok(ExitCode::SUCCESS)
}
