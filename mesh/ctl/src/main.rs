//! `meshctl`, also `cargo mesh`: runs the shop on this machine, and looks after it.

mod canary;
mod commands;
mod doctor;
mod help;
mod output;
mod people;
mod platform;
mod project;
mod seed;
mod state;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use meshctl::services;

use commands::{
    affected, audit, bench, cluster, completions, contracts, deliver, demo, dlq, docs, down,
    endpoints, flags, generate, graph, locks, logs, migrations, policy, provision, sagas, serve,
    status, supervise, test, token, top, trace, up,
};

// `serve` runs services in this process. Each thread counts for itself, for `bench rpc`.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<mesh_runtime::Allocator> =
    alloc_tracker::Allocator::new(mesh_runtime::Allocator);

/// Runs the shop on this machine.
#[derive(Parser)]
#[command(name = "meshctl", bin_name = output::program(), version, disable_help_subcommand = true,
          about = help::ABOUT, after_help = help::TOP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Every variant is one file of `commands`, or one directory of its own.
#[derive(Subcommand)]
enum Command {
    /// Says what this machine has, what is missing, and what to do about it.
    Doctor(commands::doctor::Args),
    /// Starts everything, waits until it is healthy, and seeds a shop.
    Up(up::Args),
    /// Drains and stops everything.
    Down(down::Args),
    /// Shows what runs, where, and whether it is ready.
    Status(status::Args),
    /// Shows what a service logged; or all of them, merged and searched: --all.
    Logs(logs::Args),
    /// Shows what happened to an order, span by span, and where its time went.
    Trace(trace::Args),
    /// Shows services, calls, sagas and lag as they change.
    Top(top::Args),
    /// Orders as customers would, and follows every order; or one, step by step: --watch.
    Demo(demo::Args),
    /// Says whether money, stock and messages are right.
    Audit(audit::Args),
    /// Shows sagas, and moves those that wait for an operator.
    Sagas(sagas::Args),
    /// Shows dead letters, and tries them again.
    Dlq(dlq::Args),
    /// Shows how calls are bounded and repeated, and where each value comes from.
    Policy(policy::Args),
    /// Shows where callers find a service, and how each endpoint is.
    Endpoints(endpoints::Args),
    /// Shows switches that services ask, who turned them, and turns them.
    Flags(flags::Args),
    /// Shows which database sessions wait for another one, and for whom.
    Locks(locks::Args),
    /// Measures how fast the shop is, and what its calls cost.
    Bench(bench::Args),
    /// Runs a Kubernetes API and Istio on this machine, without containers.
    Cluster(cluster::Args),
    /// Lets a new version of a service take over step by step, or puts it back if it is worse.
    Canary(commands::canary::Args),
    /// Runs the tests, with the servers they need.
    Test(test::Args),
    /// Writes pages that are made from the sources.
    Docs(docs::Args),
    /// Writes manifests, permissions, rules and clients' settings from the declarations.
    Gen(generate::Args),
    /// Shows who calls whom and who hears of whom, draws it, and says what of it is unwise.
    Graph(graph::Args),
    /// Says which consumers a change of the contracts would break.
    Contracts(contracts::Args),
    /// Says which migrations the release before would not survive.
    Migrations(migrations::Args),
    /// Says which images a change affects, and why.
    Affected(affected::Args),
    /// Writes into an overlay which image runs, and which is tried on how many calls.
    Deliver(deliver::Args),
    /// Makes databases, streams and keys where `up` does not: in containers, in a cluster.
    Provision(provision::Args),
    /// Writes what a shell needs to complete commands.
    Completions(completions::Args),
    /// Prints a token for calls as somebody who signs in, as a customer, or as the administrator.
    Token(token::Args),
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
        Command::Doctor(args) => commands::doctor::run(args).await,
        Command::Up(args) => up::run(args).await,
        Command::Down(args) => down::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Logs(args) => logs::run(args).await,
        Command::Trace(args) => trace::run(args).await,
        Command::Top(args) => top::run(args).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Audit(args) => Box::pin(audit::run(args)).await,
        Command::Sagas(args) => Box::pin(sagas::run(args)).await,
        Command::Dlq(args) => Box::pin(dlq::run(args)).await,
        Command::Policy(args) => policy::run(args).await,
        Command::Endpoints(args) => endpoints::run(args).await,
        Command::Flags(args) => flags::run(args).await,
        Command::Locks(args) => locks::run(args).await,
        Command::Token(args) => token::run(args).await,
        Command::Bench(args) => Box::pin(bench::run(args)).await,
        Command::Cluster(args) => cluster::run(args).await,
        Command::Canary(args) => Box::pin(commands::canary::run(args)).await,
        Command::Test(args) => test::run(args).await,
        Command::Provision(args) => provision::run(args).await,
        Command::Completions(args) => completions::run(args).await,
        Command::Docs(args) => docs::run(args).await,
        Command::Gen(args) => generate::run(args).await,
        Command::Graph(args) => graph::run(args).await,
        Command::Contracts(args) => contracts::run(args).await,
        Command::Deliver(args) => deliver::run(args).await,
        Command::Affected(args) => affected::run(args).await,
        Command::Migrations(args) => migrations::run(args).await,
        Command::Supervise => supervise::run().await,
        Command::Serve(args) => serve::run(args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn every_command_says_what_it_is_for_and_what_its_exit_codes_mean() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        let text = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string);

        let shown: Vec<_> = cli.get_subcommands().filter(|it| !it.is_hide_set()).collect();
        assert!(shown.len() > 10);
        for command in shown {
            let name = command.get_name();
            let about = text(command.get_about()).unwrap_or_default();
            assert!(!about.is_empty() && about.len() < 90, "{name}: {about}");
            let after = text(command.get_after_help()).unwrap_or_default();
            assert!(after.contains("Exit codes: 0"), "{name} does not say what exit codes mean");
        }
    }
}
