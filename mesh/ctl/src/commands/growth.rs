//! `bench growth`: what a long history costs.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mesh_local::{Home, Progress};
use meshctl::audit;
use meshctl::bench::growth::{self, Line, Options, Report, Round, Side, Verdict};
use meshctl::services;

use super::{Ending, audit::places, bench::subject};
use crate::output::{self, Tone};
use crate::platform::{Claim, PATIENCE, Plan, Running, wait_ready};
use crate::project::Project;

/// More is more than an audit holds in memory.
const AUDITED: u64 = 200_000;
const AUDIT_WAIT: Duration = Duration::from_secs(30);
const START_UP: &str = "start-up until ready, s";

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Finished orders that one of the two shops is filled with.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    orders: u64,
    /// How often each shop is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Orders in flight.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    /// For how long orders are begun, each round.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Build the services with optimisation.
    #[arg(long)]
    release: bool,
    /// Keep both shops' data, in `growth/` of the home.
    #[arg(long)]
    keep: bool,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exits 1 if a figure is beyond its limit, or the auditor found something.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut progress = if args.json { Progress::hidden() } else { Progress::stderr() };
    let mut ending = Ending::listen()?;
    let project = Project::find()?;
    let report = tokio::select! {
        report = Box::pin(compare(&project, &args, &mut progress)) => report?,
        // Whatever was started ends with us.
        () = ending.wished() => bail!("ended before it was done"),
    };
    progress.finish();
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    let beyond = report.lines.iter().any(|line| line.verdict == Verdict::Beyond);
    let wrong = beyond || report.audit_clean == Some(false);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn compare(project: &Project, args: &Args, progress: &mut Progress) -> Result<Report> {
    let plan =
        Plan::make(project, BTreeMap::new(), Vec::new(), BTreeMap::new(), args.release).await?;
    let plan = plan.with_untraced(true);
    let mut empty = Shop::start(project, "empty", &plan, progress).await?;
    let mut grown = Shop::start(project, "grown", &plan, progress).await?;
    progress.step("ordering a little, through the contracts");
    growth::place(&empty.side, 0).await?;
    growth::make_room(&grown.side, args.orders).await?;
    growth::place(&grown.side, args.orders).await?;
    let filled = growth::fill(&grown.side, args.orders, |what| progress.step(what)).await?;
    let options = Options {
        orders: args.orders,
        in_flight: args.in_flight.into(),
        time: Duration::from_secs(args.seconds),
        reading: Duration::from_secs(2),
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let mut sides = [(&mut empty, &mut before), (&mut grown, &mut after)];
        if round % 2 == 1 {
            sides.reverse();
        }
        for (shop, rounds) in sides {
            progress.step(format!("round {} of {}, {}", round + 1, args.rounds, shop.name));
            rounds.push(shop.round(&plan, options).await?);
        }
    }
    let (audit_clean, restrictions) = audited(&grown, args, progress).await?;
    let report = Report {
        dev_build: grown.side.subject.is_dev_build().await,
        filled,
        lines: growth::lines(&before, &after),
        audit_clean,
        restrictions,
    };
    for shop in [empty, grown] {
        shop.end(args.keep, progress).await?;
    }
    Ok(report)
}

async fn audited(
    shop: &Shop,
    args: &Args,
    progress: &mut Progress,
) -> Result<(Option<bool>, Vec<&'static str>)> {
    let mut restrictions = vec![
        "the history was written in bulk, past the contracts: it repeats a few orders that were \
         placed, with other ids and earlier times",
        "the history is older than what streams keep: no stream holds it, and no relay sees it as \
         new",
    ];
    if args.orders > AUDITED {
        restrictions.push("so long a history is not audited: an audit reads it into memory");
        return Ok((None, restrictions));
    }
    progress.step("auditing");
    let options = audit::Options::new(services::declarations()?).waiting(AUDIT_WAIT);
    let found = audit::run(&places(shop.running().state())?, options).await?;
    let findings = found.checks.iter().flat_map(|check| &check.findings).take(20);
    findings.for_each(|finding| eprintln!("  {finding:?}"));
    Ok((Some(found.clean), restrictions))
}

/// One of the two shops, in a home of its own.
struct Shop {
    name: &'static str,
    home: Home,
    running: Option<Running>,
    side: Side,
}

impl Shop {
    async fn start(
        project: &Project,
        name: &'static str,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Result<Shop> {
        let place = project.home.path("growth").join(name);
        let last = Home::at(&place)?;
        let Some(claim) = Claim::take(&last)? else {
            bail!("another `bench growth` is at work in {}", place.display());
        };
        claim.clean_up().await?;
        drop(claim);
        last.remove()?;
        let home = Home::at(&place)?.sharing_wheels(&project.home);
        let running = start(&home, plan, progress).await?;
        let side = side(&running);
        Ok(Shop { name, home, running: Some(running), side })
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a shop runs, but for the moment of its restart")
    }

    /// Starts everything again, and measures it.
    async fn round(&mut self, plan: &Plan, options: Options) -> Result<Round> {
        let mut hidden = Progress::hidden();
        if let Some(running) = self.running.take() {
            running.shut_down(&mut hidden).await?;
        }
        let begun = Instant::now();
        let running = start(&self.home, plan, &mut hidden).await?;
        let started = begun.elapsed();
        self.side = side(&running);
        self.running = Some(running);
        let mut round = growth::measure(&self.side, options).await?;
        round.insert(START_UP, started.as_secs_f64());
        Ok(round)
    }

    async fn end(self, keep: bool, progress: &mut Progress) -> Result<()> {
        if let Some(running) = self.running {
            running.shut_down(progress).await?;
        }
        if !keep {
            self.home.remove()?;
        }
        Ok(())
    }
}

async fn start(home: &Home, plan: &Plan, progress: &mut Progress) -> Result<Running> {
    let Some(claim) = Claim::take(home)? else {
        bail!("another process is at work in {}", home.root().display());
    };
    let running = Running::start(home, claim, plan, progress).await?;
    wait_ready(home, running.state(), PATIENCE).await?;
    Ok(running)
}

fn side(running: &Running) -> Side {
    let state = running.state();
    let superuser = state.postgres.url.rsplit_once('/').map_or("", |(server, _)| server);
    let mut databases = BTreeMap::new();
    for (service, _, instance) in state.instances() {
        // What is sold has no history, and the gateway keeps nothing.
        if service != "catalog" && !instance.database_url.is_empty() {
            databases.insert(service.to_owned(), format!("{superuser}/{service}"));
        }
    }
    let instances = |name: &str| state.services.get(name).into_iter().flatten();
    Side {
        subject: subject(state),
        shipping: instances("shipping").map(|it| it.grpc).collect(),
        databases,
        orders_url: instances("orders").map(|it| it.database_url.clone()).collect(),
        nats_url: state.nats.url.clone(),
    }
}

fn print(report: &Report) -> Result<()> {
    let filled = &report.filled;
    let rows: u64 = filled.rows.values().sum();
    let mut text = format!(
        "\n  {} finished orders, {rows} rows written in bulk in {:.0} s, {} MiB\n\n",
        filled.orders,
        filled.seconds,
        filled.bytes / (1024 * 1024)
    );
    let titles = ["", "without history", "with it", "ratio", ""];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    rows.extend(report.lines.iter().map(row));
    text += &output::table(&rows);
    let audit = match report.audit_clean {
        Some(true) => ("the auditor finds nothing wrong", Tone::Good),
        Some(false) => ("the auditor finds something wrong", Tone::Bad),
        None => ("not audited", Tone::Doubtful),
    };
    text += &format!("\n  {}\n", output::toned(audit.0, audit.1));
    for restriction in &report.restrictions {
        text += &format!("  {}\n", output::toned(restriction, Tone::Faint));
    }
    if report.dev_build {
        let remark = "the services are a dev build: look at ratios, not at rates";
        text += &format!("  {}\n", output::toned(remark, Tone::Doubtful));
    }
    Ok(output::put(&text)?)
}

fn row(line: &Line) -> Vec<(String, Tone)> {
    let (verdict, tone) = match line.verdict {
        Verdict::Within => ("within 10 %", Tone::Good),
        Verdict::Unclear => ("beyond 10 %, but no more than rounds differ", Tone::Doubtful),
        Verdict::Beyond => ("beyond 10 %", Tone::Bad),
    };
    vec![
        (line.what.to_owned(), Tone::Strong),
        (format!("{:.2}", growth::median(&line.empty)), Tone::Plain),
        (format!("{:.2}", growth::median(&line.grown)), Tone::Plain),
        (format!("{:.2}", line.ratio), Tone::Plain),
        (verdict.to_owned(), tone),
    ]
}
