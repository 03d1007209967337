//! `logs`: what a service wrote, or all of them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use super::search;
use crate::output;
use crate::project::Project;

pub(super) const INTERVAL: Duration = Duration::from_millis(200);

/// Whose log.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::LOGS)]
pub struct Args {
    /// A service, `postgres`, `nats` or `supervisor`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    service: Option<String>,
    /// All services' lines, merged by time.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    search: search::Search,
    /// Go on until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    let logs = project.home.logs()?;
    let Some(service) = args.service else {
        return search::run(&logs, &args.search, args.follow).await;
    };
    let files = files_of(&logs, &service)?;
    if files.is_empty() {
        bail!(
            "{} has no log of `{service}`; it has {}",
            logs.display(),
            if known(&logs)?.is_empty() {
                format!("none: run `{} up --detach`", output::program())
            } else {
                known(&logs)?.join(", ")
            }
        );
    }
    let mut read = vec![0; files.len()];
    loop {
        for (file, read) in files.iter().zip(&mut read) {
            if let Err(error) = copy_from(file, read) {
                // The reader of a pipe has seen enough.
                if error.kind() == io::ErrorKind::BrokenPipe {
                    return Ok(ExitCode::SUCCESS);
                }
                return Err(error.into());
            }
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Prints what was added after `read` bytes.
fn copy_from(file: &Path, read: &mut u64) -> io::Result<()> {
    let mut file = File::open(file)?;
    if file.metadata()?.len() < *read {
        *read = 0;
    }
    file.seek(SeekFrom::Start(*read))?;
    let mut added = Vec::new();
    *read += file.read_to_end(&mut added)? as u64;
    let mut out = io::stdout().lock();
    out.write_all(&added)?;
    out.flush()
}

/// The logs of a service's processes, or of the process that it shares with others.
fn files_of(logs: &Path, service: &str) -> Result<Vec<PathBuf>> {
    let mut own = Vec::new();
    for name in names(logs)? {
        let stem = name.split('.').next().unwrap_or_default();
        if stem == service {
            own.push(logs.join(&name));
        }
    }
    let shared = logs.join("in-process.0.log");
    if own.is_empty() && shared.is_file() && crate::services::check(service).is_ok() {
        own.push(shared);
    }
    own.sort();
    Ok(own)
}

fn known(logs: &Path) -> Result<Vec<String>> {
    let names = names(logs)?;
    let mut stems: Vec<String> =
        names.iter().filter_map(|name| Some(name.split('.').next()?.to_owned())).collect();
    stems.sort();
    stems.dedup();
    Ok(stems)
}

pub(super) fn names(logs: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(logs)?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.ends_with(".log")).collect())
}
