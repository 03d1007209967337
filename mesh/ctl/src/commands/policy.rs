//! `policy`: how calls are bounded and repeated, and who says so.

use std::process::ExitCode;

use anyhow::Result;
use meshctl::policy::{Policy, Shown};

use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// The columns of the list of RPCs, and the keys of their values.
const COLUMNS: [(&str, &str); 5] = [
    ("deadline", "deadline"),
    ("at most", "max_deadline"),
    ("attempts", "retry.attempts"),
    ("hedged", "hedge.attempts"),
    ("under overload", "criticality"),
];

/// Which RPC, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::POLICY)]
pub struct Args {
    /// The RPC: `package.Service/Method`, or the end of it; all of them if not given.
    method: Option<String>,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let state = State::find(&Project::find()?.home)?;
    let processes = state.iter().flat_map(State::instances);
    let processes =
        processes.map(|(name, number, instance)| (format!("{name} {number}"), instance.admin));
    let policy = Policy::ask(processes).await?;
    let method = args.method.map(|name| policy.method(&name)).transpose()?;
    if args.json {
        output::json(&policy.to_json(method.as_deref()))?;
        return Ok(ExitCode::SUCCESS);
    }
    match method {
        Some(method) => print_one(&policy, &method)?,
        None => print_all(&policy)?,
    }
    print_files(&policy)?;
    Ok(ExitCode::SUCCESS)
}

fn print_one(policy: &Policy, method: &str) -> Result<()> {
    let service = method.split('/').next().unwrap_or_default();
    let mut values = policy.values(&["methods", method]);
    values.extend(policy.values(&["services", service]));
    let table = output::table(&values.iter().map(row).collect::<Vec<_>>());
    Ok(output::put(&format!("  {}\n{table}", output::toned(method, Tone::Strong)))?)
}

fn row(shown: &Shown) -> Vec<(String, Tone)> {
    let tone = match shown.source.as_str() {
        "contract" | "default" => Tone::Faint,
        _ => Tone::Good,
    };
    let others = shown.elsewhere.iter().map(|(name, value)| format!("{name}: {value}"));
    vec![
        (shown.key.clone(), Tone::Plain),
        (shown.value.clone(), Tone::Strong),
        (shown.source.clone(), tone),
        (others.collect::<Vec<_>>().join(", "), Tone::Doubtful),
    ]
}

fn print_all(policy: &Policy) -> Result<()> {
    let titles = ["RPC"].into_iter().chain(COLUMNS.map(|(title, _)| title));
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).collect()];
    for method in policy.methods() {
        let values = policy.values(&["methods", method]);
        let mut row = vec![(method.to_owned(), Tone::Strong)];
        for (_, key) in COLUMNS {
            let shown = values.iter().find(|shown| shown.key == key);
            let text = shown.map_or_else(
                || "–".to_owned(),
                |shown| match shown.elsewhere.is_empty() {
                    true => shown.value.clone(),
                    false => format!("{} (differs)", shown.value),
                },
            );
            row.push((text, Tone::Plain));
        }
        rows.push(row);
    }
    output::put(&output::table(&rows))?;
    let turned = policy.turned();
    if !turned.is_empty() {
        output::put("\n")?;
        output::put(&output::table(&turned.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(())
}

/// What became of the file in each process, if there is one.
fn print_files(policy: &Policy) -> Result<()> {
    if policy.told.is_empty() {
        return Ok(output::put(
            "\n  nothing that runs tells its policy: this is the contracts'\n",
        )?);
    }
    let mut rows = Vec::new();
    for (name, file) in policy.files() {
        let text = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
        let (tone, why) = match text("state").as_str() {
            "refused" => (Tone::Bad, file["last_refusal"]["why"].as_str().unwrap_or_default()),
            "applied" => (Tone::Good, ""),
            _ => continue,
        };
        rows.push(vec![
            (name.to_owned(), Tone::Plain),
            (text("path"), Tone::Faint),
            (text("state"), tone),
            (why.to_owned(), Tone::Plain),
        ]);
    }
    if !rows.is_empty() {
        output::put(&format!("\n{}", output::table(&rows)))?;
    }
    Ok(())
}
