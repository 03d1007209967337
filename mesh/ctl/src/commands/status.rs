//! `status`: what runs, where, and whether it is ready.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use mesh_local::http;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::output::{self, Tone};
use crate::platform::Claim;
use crate::project::Project;
use crate::state::{Instance, State};

/// How to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::STATUS)]
pub struct Args {
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ServiceStatus {
    #[serde(flatten)]
    instance: Instance,
    ready: bool,
    /// Null if it did not answer.
    version: Value,
    conditions: Value,
}

/// Runs the command. Exits 1 unless everything is ready.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    if args.json && State::find(&project.home)?.is_none() {
        println!("{}", json!({ "up": false }));
        return Ok(ExitCode::FAILURE);
    }
    let state = State::load(&project.home)?;
    let mut services: BTreeMap<&str, Vec<ServiceStatus>> = BTreeMap::new();
    for (name, _, instance) in state.instances() {
        services.entry(name).or_default().push(ask(instance).await);
    }
    let postgres = listens(&state.postgres.url).await;
    let nats = listens(&state.nats.url).await;
    let supervisor = Claim::held_by(&project.home);
    let ready = postgres && nats && services.values().flatten().all(|service| service.ready);
    let healthy = ready && supervisor.is_some();
    if args.json {
        let report = json!({
            "up": true,
            "healthy": healthy,
            "supervisor": { "pid": supervisor, "ready": supervisor.is_some() },
            "services": services,
            "postgres": { "pid": state.postgres.pid, "ready": postgres },
            "nats": { "pid": state.nats.pid, "ready": nats },
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&state, &services, postgres, nats);
        if supervisor.is_none() {
            let program = output::program();
            println!(
                "\n  nobody looks after it, and what dies stays away: `{program} up` takes it over"
            );
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(instance: &Instance) -> ServiceStatus {
    let answer = http::request(instance.admin, "GET", "/readyz").await;
    let (ready, version, conditions) = match answer {
        Ok((status, body)) => {
            let report: Value = serde_json::from_str(&body).unwrap_or_default();
            (status == 200, report["version"].clone(), report["conditions"].clone())
        }
        Err(error) => (
            false,
            Value::Null,
            json!({ "process": { "state": "down", "why": error.to_string() } }),
        ),
    };
    ServiceStatus { instance: instance.clone(), ready, version, conditions }
}

async fn listens(url: &str) -> bool {
    let address = url.rsplit('@').next().unwrap_or(url);
    let address = address.split('/').next().unwrap_or(address);
    TcpStream::connect(address).await.is_ok()
}

fn print(state: &State, services: &BTreeMap<&str, Vec<ServiceStatus>>, postgres: bool, nats: bool) {
    let mut rows = Vec::new();
    for (name, replicas) in services {
        for (number, service) in replicas.iter().enumerate() {
            let label =
                if replicas.len() > 1 { format!("{name} {number}") } else { name.to_string() };
            let (word, tone) = summary(service);
            rows.push(vec![
                (label, Tone::Strong),
                (word, tone),
                (service.version.as_str().unwrap_or("-").to_owned(), Tone::Faint),
                (service.instance.grpc.to_string(), Tone::Plain),
                (format!("pid {}", service.instance.pid), Tone::Faint),
                (troubles(&service.conditions), Tone::Doubtful),
            ]);
        }
    }
    for (name, server, up) in [("postgres", &state.postgres, postgres), ("nats", &state.nats, nats)]
    {
        let (word, tone) = if up { ("ready", Tone::Good) } else { ("down", Tone::Bad) };
        let address = server.url.rsplit('@').next().unwrap_or_default();
        rows.push(vec![
            (name.to_owned(), Tone::Strong),
            (word.to_owned(), tone),
            ("-".to_owned(), Tone::Faint),
            (address.split('/').next().unwrap_or_default().to_owned(), Tone::Plain),
            (format!("pid {}", server.pid), Tone::Faint),
        ]);
    }
    print!("{}", output::table(&rows));
}

fn summary(service: &ServiceStatus) -> (String, Tone) {
    match (service.ready, troubles(&service.conditions).is_empty()) {
        (true, true) => ("ready".to_owned(), Tone::Good),
        (true, false) => ("degraded".to_owned(), Tone::Doubtful),
        (false, _) => ("down".to_owned(), Tone::Bad),
    }
}

/// The conditions that are not as they should be.
fn troubles(conditions: &Value) -> String {
    let all = conditions.as_object().into_iter().flatten();
    let bad = all.filter(|(_, condition)| condition["state"] != "ready");
    let texts = bad.map(|(name, condition)| {
        let why =
            condition["why"].as_str().or_else(|| condition["state"].as_str()).unwrap_or_default();
        format!("{name}: {why}")
    });
    texts.collect::<Vec<_>>().join(", ")
}
