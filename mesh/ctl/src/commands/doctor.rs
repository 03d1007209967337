//! `doctor`: what is here, what is missing, what to do.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::doctor::{self, Finding, Verdict};
use crate::output::{self, Tone};
use crate::project::Project;

/// How to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::DOCTOR)]
pub struct Args {
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exits 1 if something is missing that is needed.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    let findings = doctor::examine(&project)?;
    let missing = findings.iter().filter(|it| it.verdict == Verdict::Missing).count();
    if args.json {
        output::json(&json!({ "ready": missing == 0, "findings": findings }))?;
    } else {
        output::put(&output::table(&findings.iter().map(row).collect::<Vec<_>>()))?;
        let advice: Vec<_> = findings.iter().filter(|it| !it.advice.is_empty()).collect();
        if !advice.is_empty() {
            output::put(&format!(
                "\n  {}\n",
                output::toned("what to do, and what to know", Tone::Strong)
            ))?;
        }
        for Finding { name, advice, .. } in advice {
            output::put(&format!("  {name}: {advice}\n"))?;
        }
        let program = output::program();
        output::put(&match missing {
            0 if doctor::is_up(&project)? => {
                format!("\n  ready, and the shop is up: `{program} status` shows it\n")
            }
            0 => format!("\n  ready: `{program} up` starts the shop\n"),
            1 => "\n  one thing is missing\n".to_owned(),
            missing => format!("\n  {missing} things are missing\n"),
        })?;
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn row(finding: &Finding) -> Vec<(String, Tone)> {
    let (word, tone) = match finding.verdict {
        Verdict::Ok => ("ok", Tone::Good),
        Verdict::Note => ("note", Tone::Doubtful),
        Verdict::Missing => ("missing", Tone::Bad),
    };
    vec![
        (finding.name.to_owned(), Tone::Strong),
        (word.to_owned(), tone),
        (finding.found.clone(), Tone::Plain),
    ]
}
