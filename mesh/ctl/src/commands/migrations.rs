//! `migrations`: what the release before would not survive.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use meshctl::{
    git,
    migrations::{self, FILE, Report},
};

use crate::output::{self, Tone};
use crate::project::Project;

/// Whether to note a release, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::MIGRATIONS)]
pub struct Args {
    /// Note that what is checked out is published as a release of this name, with all its migrations.
    #[arg(long, value_name = "VERSION", conflicts_with = "json")]
    record: Option<String>,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exits 1 if something is found.
pub async fn run(args: Args) -> Result<ExitCode> {
    let root = Project::find()?.root;
    let all = migrations::of_checkout(&root)?;
    let releases = migrations::published(&root, &all)?;
    let report = migrations::lint(&all, &releases);
    if args.json {
        output::json(&report)?;
    } else {
        output::put(&show(&report))?;
    }
    if !report.findings.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if let Some(version) = args.record {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        ensure!(
            !version.is_empty() && version.len() <= 63 && version.chars().all(is_name),
            "`{version}` is no name of a release: letters, digits, dots and dashes, as in v2"
        );
        let commit = git::run(&root, &["rev-parse", "HEAD"]);
        let commit = commit.context("what the release is built from is not known")?;
        let record = migrations::release(&version, commit.trim(), &all, &releases)?.record();
        let file = OpenOptions::new().append(true).open(root.join(FILE));
        file.and_then(|mut file| file.write_all(record.as_bytes())).context(FILE)?;
        output::put(&format!("  {version} is in {FILE}: commit it\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(report: &Report) -> String {
    let Report { release, migrations, unpublished, findings } = report;
    let Some(release) = release else {
        return format!("  {migrations} migrations, and no release that could miss anything\n");
    };
    let mut text = String::new();
    if findings.is_empty() {
        text += &format!(
            "  {migrations} migrations, of which {release} does not have {unpublished}, and survives them\n"
        );
    }
    for finding in findings {
        let (place, what) = (finding.place.to_string(), finding.what.clone());
        text += &output::table(&[vec![(place, Tone::Strong), (what, Tone::Bad)]]);
        text += &output::table(&[vec![(format!("  {}", finding.instead), Tone::Faint)]]);
    }
    text
}
