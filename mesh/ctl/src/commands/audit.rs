//! `audit`: are money, stock and messages right?

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshctl::audit::{self, Check, Options, Places, Report};
use meshctl::services;
use serde_json::json;

use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// Something could not be read, so that nothing can be said.
const UNREADABLE: u8 = 2;
/// Of what is in motion, so much is shown.
const SHOWN: usize = 20;

/// How to look, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::AUDIT)]
pub struct Args {
    /// Look again, for so long at most, until nothing is in motion and nothing is wrong: 30s, 2m.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    wait: Duration,
    /// Dead letters are shown, and are no finding.
    #[arg(long)]
    allow_dead_letters: bool,
    /// A service's database, of a shop that `up` did not start: again for each of them. That of users
    /// may be left out.
    #[arg(long = "database", value_name = "SERVICE=URL", requires = "nats_url")]
    databases: Vec<String>,
    /// The broker of that shop, as its operator.
    #[arg(long, value_name = "URL", requires = "databases")]
    nats_url: Option<String>,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exits 1 with findings, 2 if something cannot be read.
pub async fn run(args: Args) -> Result<ExitCode> {
    match look(&args).await {
        Ok(report) => {
            if args.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print(&report);
            }
            Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            if args.json {
                println!("{}", json!({ "clean": false, "error": format!("{error:#}") }));
            }
            output::error(&error);
            Ok(ExitCode::from(UNREADABLE))
        }
    }
}

async fn look(args: &Args) -> Result<Report> {
    let places = match &args.nats_url {
        Some(nats) => elsewhere(&args.databases, nats)?,
        None => places(&State::load(&Project::find()?.home)?)?,
    };
    let options = Options {
        dead_letters_allowed: args.allow_dead_letters,
        ..Options::new(services::declarations()?).waiting(args.wait)
    };
    Ok(audit::run(&places, options).await?)
}

/// Where everything is of a shop that others started.
fn elsewhere(databases: &[String], nats: &str) -> Result<Places> {
    let mut named = BTreeMap::new();
    for given in databases {
        let (service, url) = given.split_once('=').context("--database wants SERVICE=URL")?;
        ensure!(named.insert(service, url).is_none(), "--database names {service} twice");
    }
    let places = Places::of(nats.to_owned(), |service| {
        let url = named.remove(service);
        url.map(str::to_owned)
            .with_context(|| format!("--database does not say where {service}'s is"))
    })?;
    let places = places.with_users(named.remove("users").map(str::to_owned));
    let strange: Vec<_> = named.into_keys().collect();
    ensure!(strange.is_empty(), "an audit reads no database of {}", strange.join(", "));
    Ok(places)
}

/// Where the auditor finds everything.
pub(super) fn places(state: &State) -> Result<Places> {
    let database = |service: &str| {
        let first = state.services.get(service).and_then(|instances| instances.first());
        first.map(|instance| instance.database_url.clone())
    };
    let places = Places::of(state.nats.url.clone(), |service| {
        database(service).with_context(|| {
            format!("{service} is not up: run `{} up --detach`", output::program())
        })
    })?;
    Ok(places.with_users(database("users")))
}

fn print(report: &Report) {
    let row = |check: &Check| {
        let (verdict, tone) = match check.found {
            0 => ("ok".to_owned(), Tone::Good),
            1 => ("1 finding".to_owned(), Tone::Bad),
            found => (format!("{found} findings"), Tone::Bad),
        };
        vec![
            (check.name.to_owned(), Tone::Strong),
            (verdict, tone),
            (format!("{} {}", check.checked, check.unit), Tone::Plain),
            (check.figures.clone(), Tone::Faint),
        ]
    };
    println!();
    print!("{}", output::table(&report.checks.iter().map(row).collect::<Vec<_>>()));
    for check in report.checks.iter().filter(|check| check.found > 0) {
        println!("\n  {}", output::toned(check.name, Tone::Bad));
        for finding in &check.findings {
            println!("    {}: {}", finding.row, finding.problem);
        }
        more(check.found - check.findings.len());
    }
    if !report.in_motion.is_empty() {
        println!("\n  {}", output::toned("in motion or parked, not summed", Tone::Doubtful));
        for it in report.in_motion.iter().take(SHOWN) {
            println!("    {}: {}, {}", it.what, it.state, age(it.age_seconds));
        }
        more(report.in_motion.len().saturating_sub(SHOWN));
    }
    println!("\n  {}", if report.clean { "clean" } else { "not clean" });
}

fn more(count: usize) {
    if count > 0 {
        println!("    … and {count} more");
    }
}

fn age(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Reads `250ms`, `30s`, `2m`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("`{unit}` is no unit of time: ms, s or m")),
    };
    let number: f64 = number.trim().parse().map_err(|_| "say 500ms, 30s or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| "that is out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Duration, duration, elsewhere};

    #[test]
    fn of_a_shop_of_others_every_database_is_named_once() {
        let all = ["orders", "payments", "processor", "inventory", "shipping", "catalog"];
        let named =
            |names: &[&str]| names.iter().map(|it| format!("{it}=postgres://{it}?a=b")).collect();
        let of = |databases: Vec<String>| elsewhere(&databases, "nats://x");

        let places = of(named(&all)).unwrap();
        assert_eq!((&*places.catalog, &*places.nats), ("postgres://catalog?a=b", "nats://x"));
        assert_eq!(places.users, None, "there may be no accounts");
        let places = of(named(&[&all[..], &["users"]].concat())).unwrap();
        assert_eq!(places.users.as_deref(), Some("postgres://users?a=b"));
        let refused = |names: &[&str]| of(named(names)).unwrap_err().to_string();
        assert!(refused(&all[1..]).contains("where orders's is"));
        assert!(refused(&[&all[..], &["orders"]].concat()).contains("orders twice"));
        assert!(refused(&[&all[..], &["gateway"]].concat()).contains("no database of gateway"));
        assert!(of(vec!["orders".to_owned()]).is_err());
    }

    #[test]
    fn a_wait_has_a_unit() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1s", "3 weeks", "1e300m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
