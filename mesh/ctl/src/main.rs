//! `meshctl`, also `cargo mesh`: runs the shop on this machine, and looks after it.

mod commands;
mod output;
mod platform;
mod project;
mod seed;
mod state;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use meshctl::services;

use commands::{audit, bench, demo, dlq, down, logs, sagas, serve, status, supervise, test, up};

/// Runs the shop on this machine: services, PostgreSQL and nats-server, with data in `.mesh/`.
#[derive(Parser)]
#[command(name = "meshctl", bin_name = output::program(), version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Every variant is one file of `commands`, or one directory of its own.
#[derive(Subcommand)]
enum Command {
    /// Starts everything, waits until it is healthy, and seeds a shop.
    Up(up::Args),
    /// Drains and stops everything.
    Down(down::Args),
    /// Shows what runs, where, and whether it is ready.
    Status(status::Args),
    /// Shows what a service logged.
    Logs(logs::Args),
    /// Orders as customers would, and follows every order until it is settled.
    Demo(demo::Args),
    /// Says whether money, stock and messages are right.
    Audit(audit::Args),
    /// Shows sagas, and moves those that wait for an operator.
    Sagas(sagas::Args),
    /// Shows dead letters, and tries them again.
    Dlq(dlq::Args),
    /// Measures how fast the running shop is.
    Bench(bench::Args),
    /// Runs the tests, with the servers they need.
    Test(test::Args),
    /// Looks after the processes of `up --detach`.
    #[command(hide = true)]
    Supervise,
    /// Runs several services in this process.
    #[command(hide = true)]
    Serve(serve::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(cli.command)));
    outcome.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(args).await,
        Command::Down(args) => down::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Logs(args) => logs::run(args).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Audit(args) => Box::pin(audit::run(args)).await,
        Command::Sagas(args) => Box::pin(sagas::run(args)).await,
        Command::Dlq(args) => Box::pin(dlq::run(args)).await,
        Command::Bench(args) => Box::pin(bench::run(args)).await,
        Command::Test(args) => test::run(args).await,
        Command::Supervise => supervise::run().await,
        Command::Serve(args) => serve::run(args).await,
    }
}
