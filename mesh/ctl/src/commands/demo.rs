//! `demo`: customers who order, and what becomes of their orders.

use std::io::{IsTerminal as _, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use meshctl::demo::{self, Amount, Doors, Options, Report, Tally, Unsettled};
use meshctl::watch::Target;

use super::audit::duration;
use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// How often the bar moves, and how often a line is printed where there is none.
const FRAME: Duration = Duration::from_millis(100);
const FRAMES_PER_LINE: u64 = 20;
/// Less than the time after which a silent process is replaced.
const SLOWEST: Duration = Duration::from_secs(3);
/// Of the orders that did not end well, so many are told.
const TOLD: usize = 10;

/// How many orders.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::DEMO)]
pub struct Args {
    #[command(flatten)]
    story: Story,
    /// How many orders.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    orders: u64,
    /// How many customers order at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: u16,
    /// Draws other orders.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// One order instead of many.
#[derive(Debug, clap::Args)]
pub(super) struct Story {
    /// Follow one order step by step, with a kill in the middle: `k` kills -9 whoever is next.
    ///
    /// The service whose step is next is stopped until you have read the step before, so that
    /// nothing is too fast to follow, or to hit.
    #[arg(long, conflicts_with_all = ["orders", "concurrency"])]
    watch: bool,
    /// With --watch: time between two steps, at most 3s [default: 800ms on a terminal, else 0s].
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = pace)]
    pub pace: Option<Duration>,
    /// With --watch: kill -9 a service at its first step, or whoever does this step.
    ///
    /// A step is one of reserve, authorize, create_shipment, commit, capture, release_shipment. A
    /// service is inventory, payments or shipping; orders, processor, postgres and nats die while
    /// the payment is authorized.
    #[arg(long, value_name = "STEP|SERVICE", requires = "watch", value_parser = Target::parse)]
    pub kill: Option<Target>,
}

/// Runs the command. Exits 1 if an order is not settled in time.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    if args.story.watch {
        return super::watch::run(&project, &args.story, args.seed, args.json).await;
    }
    let doors = doors(&State::load(&project.home)?);
    let options = Options {
        amount: Amount::Orders(args.orders),
        concurrency: args.concurrency.into(),
        seed: args.seed,
        ..Options::default()
    };
    let tally = Arc::new(Tally::default());
    let work = demo::run(&doors, options, Arc::clone(&tally));
    let report = if args.json {
        work.await?
    } else {
        tokio::select! {
            report = work => report?,
            () = show(&tally, args.orders) => unreachable!("it goes on until it is dropped"),
        }
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.unsettled.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn pace(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        pace if pace <= SLOWEST => Ok(pace),
        _ => Err("at most 3s: who is held longer counts as dead".to_owned()),
    }
}

/// Where the services are, and who we are to them.
pub(super) fn doors(state: &State) -> Doors {
    let doors = Doors::find(|name| {
        let instances = state.services.get(name).into_iter().flatten();
        instances.map(|instance| instance.grpc).collect()
    });
    Doors { caller: state.caller(), ..doors }
}

/// Shows how far it is, until it is dropped.
async fn show(tally: &Tally, orders: u64) {
    let live = stderr().is_terminal() && std::env::var_os("CI").is_none();
    let bar = if live { ProgressBar::new(orders) } else { ProgressBar::hidden() };
    let style = "  {spinner} {wide_bar:.green} {pos}/{len}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    // Dropping it removes it from the terminal.
    let bar = Cleared(bar);
    let mut frames = 0_u64;
    loop {
        tokio::time::sleep(FRAME).await;
        frames += 1;
        let line = line(tally);
        bar.0.set_message(line.clone());
        bar.0.set_position(tally.done());
        if !live && frames.is_multiple_of(FRAMES_PER_LINE) {
            eprintln!("  {} of {orders} orders: {line}", tally.done());
        }
    }
}

fn line(tally: &Tally) -> String {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut line =
        format!("{} confirmed, {} rejected", read(&tally.confirmed), read(&tally.rejected));
    for (counter, word) in [
        (&tally.cancelled, "cancelled"),
        (&tally.unfinished, "unfinished"),
        (&tally.retried, "calls repeated"),
    ] {
        if read(counter) > 0 {
            line += &format!(", {} {word}", read(counter));
        }
    }
    line
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn print(report: &Report) {
    println!("\n  {} orders in {:.1} s\n", report.orders, report.elapsed.as_secs_f64());
    let count = |name: &str, count: u64, tone: Tone, more: String| {
        vec![
            (name.to_owned(), Tone::Strong),
            (count.to_string(), if count == 0 { Tone::Faint } else { tone }),
            (more, Tone::Faint),
        ]
    };
    let reasons: Vec<String> =
        report.rejections.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let times = report.confirmed_ms;
    let times = format!(
        "{:.1}/s; after p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
        report.orders_per_second, times.p50, times.p95, times.p99
    );
    let rows = [
        count("confirmed", report.confirmed, Tone::Good, times),
        count("rejected", report.rejected, Tone::Plain, reasons.join(", ")),
        count("cancelled", report.cancelled, Tone::Plain, String::new()),
        count("unfinished", report.unfinished, Tone::Bad, String::new()),
    ];
    print!("{}", output::table(&rows));
    if report.shipped > 0 {
        let (shipped, delivered) = (report.shipped, report.delivered);
        println!("\n  a carrier took {shipped} of the parcels along and delivered {delivered}");
    }
    if report.retried > 0 {
        println!("\n  {} calls were repeated with the same request id", report.retried);
    }
    tell("waits for an operator", &report.parked);
    tell("is not settled", &report.unsettled);
    if !report.parked.is_empty() {
        println!("\n  see `{} sagas`", output::program());
    }
}

fn tell(what: &str, orders: &[Unsettled]) {
    for order in orders.iter().take(TOLD) {
        let name = match &order.order_id {
            Some(order_id) => format!("order {order_id}"),
            None => format!("the order of customer {}", order.customer_id),
        };
        eprintln!("  {name} {what}: {}", order.last);
    }
    if let Some(more) = orders.len().checked_sub(TOLD + 1) {
        eprintln!("  … and {} more", more + 1);
    }
}
