//! `bench rpc`: what the stack costs a call.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Result;
use mesh_local::Progress;
use meshctl::bench::rpc::{self, Figures, Options, Report, Row, Target, Telemetry};

use crate::output::{self, Tone};

/// With so many callers telemetry's cost is measured.
const WITH_TELEMETRY: usize = 64;

/// What to compare.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::BENCH_RPC)]
pub struct Args {
    /// How many callers there are, each with one call under way; several numbers are measured one
    /// after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_name = "COUNT,…",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    callers: Vec<u16>,
    /// For how long each number of callers is measured, both sides together.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// One side of the comparison with and without telemetry.
#[derive(Debug, clap::Args)]
pub struct Side {
    /// Where its signals go by OTLP; without it none are sent.
    #[arg(long, value_name = "URL")]
    collector: Option<String>,
}

/// Runs one side, as stdin tells it.
pub fn answer(args: &Side) -> Result<ExitCode> {
    tokio::task::block_in_place(|| rpc::answer(args.collector.as_deref()))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the command. It is an error if a call fails; a target that is missed is none.
pub fn run(args: &Args) -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        let again = "`cargo run --release --package meshctl -- bench rpc`";
        eprintln!("  this is a dev build: these figures mean nothing; {again}");
    }
    let options = Options {
        callers: args.callers.iter().copied().map(usize::from).collect(),
        time: Duration::from_secs(args.seconds),
    };
    let mut progress = if args.json { Progress::hidden() } else { Progress::stderr() };
    // It has runtimes of its own, and waits for them.
    let report = tokio::task::block_in_place(|| measure(&options, |what| progress.step(what)))?;
    progress.finish();
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &Options, mut step: impl FnMut(String)) -> Result<Report> {
    let mut report = rpc::run(options, &mut step)?;
    let seconds = options.time.as_secs();
    step(format!(
        "{WITH_TELEMETRY} callers for {seconds} s, without telemetry and with it in turn"
    ));
    let program = std::env::current_exe()?;
    let side = |collector: Option<&str>| {
        let mut command = Command::new(&program);
        command.args(["bench", "rpc-side"]);
        if let Some(collector) = collector {
            command.args(["--collector", collector]);
        }
        command
    };
    report.telemetry = Some(rpc::compare(side, WITH_TELEMETRY, options.time)?);
    Ok(report)
}

fn print(report: &Report) -> Result<()> {
    let titles = ["callers", "", "requests/s", "p50 us", "p99 us", "allocations", "calls"];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    for row in &report.rows {
        rows.extend([
            line(&row.callers.to_string(), "tonic alone", &row.bare),
            line("", "the stack", &row.stack),
            ratios(row),
        ]);
    }
    let mut text = format!("\n{}\n", output::table(&rows));
    for target in report.targets().into_iter().flatten() {
        text += &verdict(&target);
    }
    let titles = ["layer alone", "ns per call"];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    rows.extend(report.layers.iter().map(|layer| {
        vec![(layer.layer.to_owned(), Tone::Strong), (format!("{:.0}", layer.ns), Tone::Plain)]
    }));
    text += &format!("\n{}", output::table(&rows));
    if let Some(telemetry) = &report.telemetry {
        text += &format!("\n{}", output::table(&cost(telemetry)));
    }
    Ok(output::put(&text)?)
}

/// The line that says whether a target is reached.
pub(super) fn verdict(target: &Target) -> String {
    let (word, tone) = if target.reached { ("reached", Tone::Good) } else { ("missed", Tone::Bad) };
    let bound = format!("{:.2} {} {:.2}: ", target.value, target.what, target.bound);
    format!("  {bound}{}\n", output::toned(word, tone))
}

fn cost(telemetry: &Telemetry) -> Vec<Vec<(String, Tone)>> {
    let titles = ["callers", "", "requests/s", "p50 us", "p99 us", "allocations", "calls"];
    let on = format!("telemetry, {:.0} % sampled", rpc::RATIO * 100.0);
    vec![
        titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec(),
        line(&telemetry.callers.to_string(), "nothing is sent", &telemetry.off),
        line("", &on, &telemetry.on),
        vec![
            (String::new(), Tone::Plain),
            ("ratio".to_owned(), Tone::Faint),
            (telemetry.throughput.to_string(), Tone::Plain),
        ],
    ]
}

fn line(callers: &str, side: &str, figures: &Figures) -> Vec<(String, Tone)> {
    vec![
        (callers.to_owned(), Tone::Strong),
        (side.to_owned(), Tone::Strong),
        (format!("{:.0}", figures.rps), Tone::Plain),
        (format!("{:.0}", figures.p50_us), Tone::Plain),
        (format!("{:.0}", figures.p99_us), Tone::Plain),
        (format!("{:.1}", figures.allocations), Tone::Plain),
        (figures.calls.to_string(), Tone::Faint),
    ]
}

/// The ratios, and between which values half of the rounds lie.
fn ratios(row: &Row) -> Vec<(String, Tone)> {
    let blank = || (String::new(), Tone::Plain);
    vec![
        blank(),
        ("ratio".to_owned(), Tone::Faint),
        (row.throughput.to_string(), Tone::Plain),
        blank(),
        (row.p99.to_string(), Tone::Plain),
    ]
}
