//! `canary`: a new version of a service takes over step by step, or is put back.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ArgGroup;
use mesh_local::{Home, Indicator, Progress};
use meshctl::rollout::{Routes, Rules, Steps};

use super::{Ending, audit::duration};
use crate::canary::{Hold, Image, Pace, Record, Report, Shop, Step, Walk, put_back};
use crate::output::{self, Tone};
use crate::platform::{applicable, is_program};
use crate::project::Project;
use crate::state::State;

/// What takes over, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::CANARY, group(ArgGroup::new("what").required(true)))]
pub struct Args {
    /// The service.
    service: String,
    /// The program of the new version.
    #[arg(long, value_name = "PROGRAM", group = "what")]
    binary: Option<PathBuf>,
    /// The image of the new version: what docker or podman knows, or a path to an archive of it.
    #[arg(long, value_name = "REF", group = "what")]
    image: Option<String>,
    /// What the new version is called [default: the image's tag, or the one after the newest that is
    /// declared, such as v2].
    #[arg(long)]
    version: Option<String>,
    /// How many of a hundred calls the new version is given, one step after the other.
    #[arg(long, value_name = "PERCENTAGES", default_value = "1,5,25,50,100")]
    steps: Steps,
    /// How long each step lasts at least.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    hold: Duration,
    /// How many of its calls each step needs.
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(20..))]
    min_calls: u64,
    /// How long a step waits for them.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    patience: Duration,
    /// The share of its calls that may fail, such as 0.01 [default: what its objective leaves].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_error_ratio: Option<f64>,
    /// How many times the old version's p99 its own may be.
    #[arg(long, value_name = "FACTOR", default_value = "2", value_parser = factor)]
    max_slower: f64,
    /// How long the program may take to be well.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    wait: Duration,
    /// Put back what a walk that was killed has left, or undo one that is finished.
    #[arg(long, group = "what", conflicts_with_all = ["version", "steps", "hold", "min_calls",
          "patience", "max_error_ratio", "max_slower", "wait"])]
    abort: bool,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// What takes over.
enum New {
    Binary(PathBuf),
    Image(Image),
}

impl New {
    async fn find(args: &Args) -> Result<New> {
        match (&args.binary, &args.image) {
            (Some(binary), _) => Ok(New::Binary(program(binary)?)),
            (None, Some(image)) => Ok(New::Image(Image::find(image).await?)),
            (None, None) => bail!("say what takes over: --binary PROGRAM or --image REF"),
        }
    }

    fn version(&self) -> Option<&str> {
        match self {
            New::Binary(_) => None,
            New::Image(image) => image.version(),
        }
    }

    async fn program(&self, home: &Home, service: &str) -> Result<PathBuf> {
        match self {
            New::Binary(program) => Ok(program.clone()),
            New::Image(image) => image.program(home, service).await,
        }
    }
}

impl fmt::Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            New::Binary(program) => write!(f, "{}", program.display()),
            New::Image(image) => write!(f, "{image}"),
        }
    }
}

/// Runs the command. Exits 1 unless the new version has all calls, or, with `--abort`, none.
pub async fn run(args: Args) -> Result<ExitCode> {
    meshctl::services::check(&args.service)?;
    let project = Project::find()?;
    if args.abort {
        return abort(&project, &args).await;
    }
    let new = New::find(&args).await?;
    let version = args.version.as_deref().or_else(|| new.version());
    let routes = Routes::of_checkout(&args.service, version)?;
    let rules = rules(&args, &routes)?;
    applicable(&project.root)?;
    let shop = Shop::find(&project.home)?;
    let hold = Hold::take(&project.home, &args.service)?;
    free(&shop, &hold, &routes)?;
    shop.is_as_shipped(&routes).await?;
    // Nothing is applied yet: until here a signal ends it at once.
    let program = new.program(&project.home, &args.service).await?;
    let mut ending = Ending::listen()?;
    let (steps, wait) = (args.steps.clone(), args.wait);
    let pace = Pace { steps, hold: args.hold, patience: args.patience, wait };
    let tell: fn(&Step) = if args.json { |_| {} } else { |step| println!("  {step}") };
    if !args.json {
        begin(&routes, &rules, &new);
    }
    let walk = Walk { shop: &shop, hold: &hold, routes: &routes, rules: &rules, pace: &pace, tell };
    let report = walk.go(&program, &mut ending).await?;
    match args.json {
        true => output::json(&report)?,
        false => end(&report),
    }
    Ok(if report.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts back what a walk has left.
async fn abort(project: &Project, args: &Args) -> Result<ExitCode> {
    let (home, service) = (&project.home, &args.service);
    let hold = Hold::take(home, service)?;
    let record = hold.read()?;
    let mut progress = Progress::stderr();
    if let Some(record) = &record {
        let routes = Routes::of_checkout(service, Some(&record.version))?;
        // A shop that is down begins with the routes that are shipped, and with its own processes.
        if State::find(home)?.is_some() {
            progress.step(format!("putting back {service} {}", record.version));
            put_back(&Shop::find(home)?, &hold, &routes, record, None).await?;
        }
        hold.forget()?;
    }
    progress.finish();
    match (args.json, &record) {
        (true, _) => output::json(&serde_json::json!({ "put_back": record }))?,
        (false, Some(Record { version, .. })) => {
            println!("  {service} is as it is shipped, and {version} has ended");
        }
        (false, None) => println!("  no version of {service} takes over"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a walk where an earlier one has left something, or the version is somebody else's.
fn free(shop: &Shop, hold: &Hold, routes: &Routes) -> Result<()> {
    let (service, version) = (routes.service(), routes.new_version());
    if let Some(record) = hold.read()? {
        let there = shop.process(service, &record.version)?.is_some();
        let Record { version, share, done, .. } = record;
        let what = match done {
            true => format!("{version} has taken over"),
            false => format!("a walk to {version} was killed at {share} %"),
        };
        let program = output::program();
        ensure!(!there, "{what}: `{program} canary {service} --abort` puts it back first");
        // The shop was started anew since.
        hold.forget()?;
    }
    if shop.process(service, version)?.is_some() {
        bail!("a process of {service} is {version} already: name another with --version");
    }
    Ok(())
}

fn program(binary: &Path) -> Result<PathBuf> {
    let program = std::path::absolute(binary);
    let program = program.with_context(|| format!("--binary {}", binary.display()))?;
    ensure!(program.exists(), "--binary: there is no {}", program.display());
    ensure!(is_program(&program), "--binary: {} is no program that can be run", program.display());
    Ok(program)
}

/// What the new version is held to: what the service promises, unless something else is asked for.
fn rules(args: &Args, routes: &Routes) -> Result<Rules> {
    let objectives = &routes.declared()?.objectives;
    let promised = objectives.iter().find(|it| it.what == Indicator::Availability);
    let failing = args.max_error_ratio.or_else(|| Some(1.0 - promised?.target));
    let failing = failing.with_context(|| {
        let service = &args.service;
        format!("{service} has no objective of availability: say --max-error-ratio, such as 0.01")
    })?;
    let late = objectives.iter().find_map(|it| match it.what {
        Indicator::Latency { bound } => Some((bound, 1.0 - it.target)),
        _ => None,
    });
    Ok(Rules { failing, late, slower: args.max_slower, fewest: args.min_calls })
}

fn begin(routes: &Routes, rules: &Rules, what: &New) {
    let (service, old, new) = (routes.service(), routes.old_version(), routes.new_version());
    println!("  {service}: from {old} to {new}, {what}");
    println!("  at most {:.2} % of its calls may fail,", rules.failing * 100.0);
    if let Some((bound, share)) = rules.late {
        println!("  {:.2} % take longer than {bound:?},", share * 100.0);
    }
    println!("  and its p99 is at most {} times that of {old}\n", rules.slower);
}

fn end(report: &Report) {
    let Report { service, old, version, step, hurt, .. } = report;
    let program = output::program();
    let (said, tone) = match report.done {
        true => (format!("{service} {version} has taken over"), Tone::Good),
        false => (format!("{service} {version} is put back, {old} has all calls"), Tone::Bad),
    };
    println!("\n  {}", output::toned(&said, tone));
    if let Some(why) = &report.why {
        println!("  at {step} %: {why}");
        println!("  it hurt {hurt}");
        return;
    }
    println!("  {} calls, {} failed", hurt.calls, hurt.failed);
    println!(
        "\n  The next `up` knows nothing of it. For good: its sources into the checkout, and in a cluster"
    );
    println!("    services/{service}/mesh.toml  versions = [\"{old}\", \"{version}\"]");
    println!(
        "    istio/traffic.toml  [services.{service}]  weights = {{ {old} = 0, {version} = 100 }}"
    );
    println!("  then `{program} gen`. Back: `{program} canary {service} --abort`");
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "a share from 0 to below 1 is expected, such as 0.01".to_owned())
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| (1.0..=100.0).contains(factor));
    factor.ok_or_else(|| "a factor from 1 to 100 is expected, such as 2".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{factor, program, share};

    #[test]
    fn shares_and_factors_have_bounds() {
        assert_eq!((share("0.01"), factor("1.5")), (Ok(0.01), Ok(1.5)));
        for bad in ["1", "-0.1", "NaN", "x", ""] {
            assert!(share(bad).is_err(), "{bad}");
        }
        for bad in ["0.5", "101", "NaN", "inf", ""] {
            assert!(factor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_program_is_there_and_can_be_run() {
        assert!(program("/bin/sh".as_ref()).is_ok());
        for (bad, why) in [("/no/such", "there is no /no/such"), ("/etc/passwd", "no program")] {
            let said = program(bad.as_ref()).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
