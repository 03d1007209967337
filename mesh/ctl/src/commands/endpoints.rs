//! `endpoints`: where callers find a service, and how each endpoint is.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use mesh_local::http;
use meshctl::services;
use serde_json::{Value, json};

use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

const COLUMNS: [&str; 9] =
    ["caller", "endpoint", "state", "breaker", "rtt", "pending", "calls", "failures", "why"];

/// Whose endpoints, and how to show them.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::ENDPOINTS)]
pub struct Args {
    /// The service that is called; all of them if not given.
    service: Option<String>,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// What one process says of one service that it calls.
struct View {
    target: String,
    caller: String,
    table: Value,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    if let Some(name) = &args.service {
        services::check(name)?;
    }
    let state = State::load(&Project::find()?.home)?;
    let mut views = ask(&state).await?;
    views.retain(|view| args.service.as_ref().is_none_or(|asked| *asked == view.target));
    views.sort_by(|a, b| (&a.target, &a.caller).cmp(&(&b.target, &b.caller)));
    if args.json {
        output::json(&views.iter().map(row).collect::<Vec<_>>())?;
    } else if views.is_empty() {
        let what = args.service.unwrap_or_else(|| "another service".to_owned());
        output::put(&format!("  nothing that runs calls {what}\n"))?;
    } else {
        print(&views)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks every process at its admin port; one that does not answer is passed over.
async fn ask(state: &State) -> Result<Vec<View>> {
    let mut views = Vec::new();
    for (name, number, instance) in state.instances() {
        let Ok((200, body)) = http::request(instance.admin, "GET", "/endpoints").await else {
            continue;
        };
        let caller = format!("{name} {number}");
        let tables: Value = serde_json::from_str(&body)
            .with_context(|| format!("{caller} does not tell its endpoints"))?;
        for (target, table) in tables.as_object().into_iter().flatten() {
            let (target, caller) = (target.clone(), caller.clone());
            views.push(View { target, caller, table: table.clone() });
        }
    }
    Ok(views)
}

fn row(view: &View) -> Value {
    let mut row = json!({ "service": view.target, "caller": view.caller });
    for (key, value) in view.table.as_object().into_iter().flatten() {
        row[key] = value.clone();
    }
    row
}

fn print(views: &[View]) -> Result<()> {
    for (index, of_target) in views.chunk_by(|a, b| a.target == b.target).enumerate() {
        let gap = if index > 0 { "\n" } else { "" };
        let mut rows = vec![COLUMNS.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
        for view in of_target {
            let endpoints = view.table["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
            rows.extend(endpoints.iter().map(|endpoint| line(&view.caller, endpoint)));
        }
        let target = output::toned(&of_target[0].target, Tone::Strong);
        output::put(&format!("{gap}  {target}\n{}", output::table(&rows)))?;
        let accounts: Vec<_> = of_target.iter().map(account).collect();
        output::put(&output::table(&accounts))?;
    }
    Ok(())
}

fn line(caller: &str, endpoint: &Value) -> Vec<(String, Tone)> {
    let text = |key: &str| match &endpoint[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rtt = endpoint["rtt_ms"].as_f64().unwrap_or_default();
    let tone = match text("state").as_str() {
        "READY" => Tone::Good,
        "GATED" | "BACKOFF" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    vec![
        (caller.to_owned(), Tone::Plain),
        (text("address"), Tone::Plain),
        (text("state"), tone),
        (text("breaker"), tone),
        (format!("{rtt:.1} ms"), Tone::Plain),
        (text("pending"), Tone::Plain),
        (text("calls"), Tone::Plain),
        (text("failures"), Tone::Plain),
        (text("reason"), Tone::Plain),
    ]
}

/// Where the endpoints come from, and what is left of the caller's accounts.
fn account(view: &View) -> Vec<(String, Tone)> {
    let table = &view.table;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (budget, bulkhead) = (&table["budget"], &table["bulkhead"]);
    let tokens = |key: &str| budget[key].as_f64().unwrap_or_default();
    let source = format!("{}, {}", text(&table["source"]), text(&table["state"]));
    vec![
        (view.caller.clone(), Tone::Plain),
        (source, Tone::Faint),
        (format!("balanced by {}", text(&table["balanced_by"])), Tone::Faint),
        (format!("budget {:.0} of {:.0}", tokens("tokens"), tokens("max_tokens")), Tone::Faint),
        (format!("calls {} of {}", bulkhead["calls"], bulkhead["max_calls"]), Tone::Faint),
        (text(&table["why"]), Tone::Bad),
    ]
}
