//! `test`: every test suite, with the servers it needs.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use mesh_local::cluster::Tools;
use mesh_local::{Progress, Servers};
use tokio::process::Command;

use crate::project::Project;

/// The tests of the suite `alerts`.
const ALERTS: [&str; 2] = ["objectives::alerts::", "observe::walks::"];
/// The tests of the suite `cluster`.
const CLUSTER: [&str; 2] = ["by_traffic::", "releases::"];
/// The tests of the suite `collector`.
const COLLECTOR: [&str; 1] = ["observe::collector::"];
/// The tests of the suite `fuzz`, and for how long each of them changes inputs then, in seconds.
const FUZZ: [&str; 1] = ["fuzz::"];
const FUZZ_SECONDS: (&str, &str) = ("FUZZ_SECONDS", "60");
/// Which changes of inputs are made: others each time that somebody fuzzes on purpose.
const FUZZ_SEED: &str = "FUZZ_SEED";
/// The tests of the suite `images`.
const IMAGES: [&str; 1] = ["compose::images::"];
/// The tests of the suite `polyglot`.
const POLYGLOT: [&str; 1] = ["polyglot::"];

/// Which tests.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::TEST)]
pub struct Args {
    /// Which suite.
    #[arg(long, value_enum, default_value_t = Suite::All)]
    suite: Suite,
    /// Fail where a test would be skipped because the machine lacks what it needs.
    #[arg(long, value_enum)]
    require: Option<Required>,
    /// Run only tests whose name contains this.
    filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// Everything in Rust but the other suites: rules, layers, services, platform.
    Rust,
    /// A real Prometheus watches a shop that breaks, and an operator finds out why.
    Alerts,
    /// Istio and Kubernetes take in the manifests, and traffic shows what they make of them; two releases
    /// serve side by side.
    Cluster,
    /// A real OpenTelemetry Collector takes in what a shop sends.
    Collector,
    /// Whatever reads what strangers send is given changed inputs for a minute each.
    Fuzz,
    /// An image is built by the machine's container engine, and runs.
    Images,
    /// Clients in other languages call as the contracts say, and order through the gateway.
    Polyglot,
    /// All that this checkout has.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Required {
    /// Every test that is asked for.
    All,
}

/// Runs the command. Exits as `cargo test` does.
pub async fn run(args: Args) -> Result<ExitCode> {
    let passed = cargo_test(&args).await?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn cargo_test(args: &Args) -> Result<bool> {
    let project = Project::find()?;
    let mut progress = Progress::stderr();
    // The tests would find or install them too, but without saying what takes so long.
    Servers::find(&project.home, &mut progress).await?;
    // Of all suites only where nothing may be skipped: it takes a quarter of an hour, once.
    let everything = args.suite == Suite::All && args.require.is_some();
    if args.suite == Suite::Cluster || everything {
        Tools::find(&Tools::cache_of_user()?, &mut progress).await?;
    }
    progress.finish();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(&project.root)
        .args(["test", "--workspace", "--no-fail-fast"])
        .stdin(Stdio::null());
    if let Some(Required::All) = args.require {
        // What `mesh_testkit::skipped` heeds.
        command.env("REQUIRE_ALL", "1");
    }
    if args.suite == Suite::Fuzz || everything {
        let others = rand::random::<u64>().to_string();
        for (name, value) in [FUZZ_SECONDS, (FUZZ_SEED, &others)] {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
    }
    command.args(selection(args.suite, args.filter.as_deref()));
    let status = command.status().await.context("cannot run cargo: is Rust installed?")?;
    Ok(status.success())
}

/// What `cargo test` is told of which tests to run.
fn selection(suite: Suite, filter: Option<&str>) -> Vec<String> {
    let own = |tests: &[&str]| match filter {
        Some(filter) => vec![filter.to_owned()],
        None => [&["--"], tests].concat().into_iter().map(str::to_owned).collect(),
    };
    // Each claim is told when it is shown, with what was measured.
    let told = |mut words: Vec<String>| {
        if filter.is_some() {
            words.push("--".to_owned());
        }
        // One after the other: what is timed in one cluster is not to be what another one leaves of the
        // processors.
        words.extend(["--nocapture", "--test-threads=1"].map(str::to_owned));
        words
    };
    match suite {
        Suite::All => filter.map(str::to_owned).into_iter().collect(),
        Suite::Alerts => own(&ALERTS),
        Suite::Cluster => told(own(&CLUSTER)),
        Suite::Collector => own(&COLLECTOR),
        Suite::Fuzz => own(&FUZZ),
        Suite::Images => own(&IMAGES),
        Suite::Polyglot => own(&POLYGLOT),
        Suite::Rust => {
            let mut words: Vec<String> = filter.map(str::to_owned).into_iter().collect();
            words.push("--".to_owned());
            for test in [&ALERTS[..], &CLUSTER, &COLLECTOR, &IMAGES, &POLYGLOT].concat() {
                words.extend(["--skip".to_owned(), test.to_owned()]);
            }
            words
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Suite, selection};

    #[test]
    fn a_suite_is_its_own_tests_and_rust_all_others() {
        assert_eq!(selection(Suite::All, None), [""; 0]);
        assert_eq!(selection(Suite::Collector, None), ["--", "observe::collector::"]);
        let alone = ["--nocapture", "--test-threads=1"];
        let cluster = [&["--", "by_traffic::", "releases::"][..], &alone].concat();
        assert_eq!(selection(Suite::Cluster, None), cluster);
        let claims = [&["claims", "--"][..], &alone].concat();
        assert_eq!(selection(Suite::Cluster, Some("claims")), claims);
        assert_eq!(selection(Suite::Fuzz, None), ["--", "fuzz::"]);
        assert_eq!(selection(Suite::Images, None), ["--", "compose::images::"]);
        assert_eq!(selection(Suite::Polyglot, None), ["--", "polyglot::"]);
        assert_eq!(
            selection(Suite::Alerts, None)[1..],
            ["objectives::alerts::", "observe::walks::"]
        );
        assert_eq!(selection(Suite::Alerts, Some("lock")), ["lock"]);
        let rust = selection(Suite::Rust, Some("crash"));
        assert_eq!(rust[..4], ["crash", "--", "--skip", "objectives::alerts::"]);
        assert_eq!(rust.len(), 16);
        assert!(!rust.contains(&"fuzz::".to_owned()), "they run there, too, for a moment each");
    }
}
