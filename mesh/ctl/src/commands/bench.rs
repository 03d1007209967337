//! `bench`: how fast the shop is, and its calls.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use mesh_local::Progress;
use meshctl::bench::{self, Options, Report, Subject};

use super::demo::doors;
use super::{gateway, growth, rpc};
use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// What to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::BENCH)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Orders, from PlaceOrder to CONFIRMED, and what one costs.
    Orders(Orders),
    /// What the gateway costs: gRPC and JSON through it, beside the service itself.
    Gateway(gateway::Args),
    /// What a long history costs: fills a shop of its own with finished orders, and compares.
    Growth(growth::Args),
    /// One side of `rpc`'s comparison with and without telemetry; `rpc` starts it.
    #[command(hide = true)]
    RpcSide(rpc::Side),
    /// Calls: what the stack costs beside tonic alone, and what each of its layers does.
    Rpc(rpc::Args),
}

#[derive(Debug, clap::Args)]
struct Orders {
    /// Orders in flight.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    /// For how long orders are begun.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exits 1 if an order failed.
pub async fn run(args: Args) -> Result<ExitCode> {
    let args = match args.what {
        What::Orders(args) => args,
        What::Gateway(args) => return gateway::run(args).await,
        What::Growth(args) => return growth::run(args).await,
        What::Rpc(args) => return rpc::run(&args),
        What::RpcSide(args) => return rpc::answer(&args),
    };
    let project = Project::find()?;
    let state = State::load(&project.home)?;
    let subject = subject(&state);
    let options =
        Options { in_flight: args.in_flight.into(), time: Duration::from_secs(args.seconds) };
    let mut progress = if args.json { Progress::hidden() } else { Progress::stderr() };
    let report = bench::orders(&subject, options, |what| progress.step(what)).await?;
    progress.finish();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
        if state.traces.is_some() {
            let again = format!("`{} up --untraced` measures without", output::program());
            let text = format!("every span of every order was kept; {again}");
            println!("\n  {}", output::toned(&text, Tone::Faint));
        }
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What runs, to be measured.
pub(super) fn subject(state: &State) -> Subject {
    let mut processes: Vec<(String, u32)> = Vec::new();
    for (name, _, instance) in state.instances() {
        match processes.iter_mut().find(|(_, pid)| *pid == instance.pid) {
            // Services that share a process share its costs.
            Some((names, _)) => *names += &format!("+{name}"),
            None => processes.push((name.to_owned(), instance.pid)),
        }
    }
    processes.push(("postgres".to_owned(), state.postgres.pid));
    processes.push(("nats".to_owned(), state.nats.pid));
    Subject {
        doors: doors(state),
        processes,
        admin: state.instances().map(|(_, _, instance)| instance.admin).collect(),
        postgres_url: state.postgres.url.clone(),
    }
}

fn print(report: &Report) {
    let times = report.confirmed_ms;
    println!(
        "\n  {} orders/s to CONFIRMED with {} in flight ({} orders in {:.1} s)",
        output::toned(&format!("{:.1}", report.orders_per_second), Tone::Strong),
        report.in_flight,
        report.confirmed,
        report.seconds
    );
    println!("  p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms\n", times.p50, times.p95, times.p99);
    let mut rows = vec![
        ["", "CPU ms/order", "cores", "RSS MiB"]
            .map(|title| (title.to_owned(), Tone::Faint))
            .to_vec(),
    ];
    for (name, share) in &report.cost.programs {
        rows.push(vec![
            (name.clone(), Tone::Strong),
            (format!("{:.2}", share.cpu_ms_per_order), Tone::Plain),
            (format!("{:.2}", share.cores), Tone::Plain),
            (format!("{:.1}", share.rss_mib), Tone::Plain),
        ]);
    }
    print!("{}", output::table(&rows));
    println!(
        "\n  PostgreSQL per order: {:.2} transactions that write, {:.2} commits in all, {} bytes of log",
        report.cost.write_transactions_per_order,
        report.cost.commits_per_order,
        report.cost.wal_bytes_per_order
    );
    remarks(report);
}

fn remarks(report: &Report) {
    let remark = |text: String, tone| println!("\n  {}", output::toned(&text, tone));
    for (what, count) in &report.failed {
        remark(format!("{count} orders failed, and were not tried again: {what}"), Tone::Bad);
    }
    if report.carts_filled_meanwhile > 0 {
        let count = report.carts_filled_meanwhile;
        remark(format!("{count} carts were filled meanwhile, at the order's cost"), Tone::Doubtful);
    }
    if report.dev_build {
        let again = format!("`{} up --release --untraced --detach`", output::program());
        let text = format!("the services are a dev build: these figures mean nothing; {again}");
        remark(text, Tone::Bad);
    }
    if report.dev_generator {
        let again = "`cargo run --release --package meshctl -- bench orders`";
        let text = format!("the generator is a dev build and takes CPU from the shop; {again}");
        remark(text, Tone::Doubtful);
    }
}
