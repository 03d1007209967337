//! Pid files, and the processes that a killed supervisor left behind.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{Identity, replace};

/// What a pid file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PidFile {
    /// The process.
    pub process: Identity,
    /// The process that looks after it; nobody does once that is gone.
    pub keeper: Option<Identity>,
    /// Whether the process wants an interrupt (PostgreSQL) rather than a termination signal.
    pub interrupt: bool,
}

impl PidFile {
    /// Reads a pid file; `None` if it is missing or torn.
    pub fn read(path: &Path) -> Option<PidFile> {
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    }

    /// Writes a pid file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        replace(path, &serde_json::to_string(self).map_err(io::Error::other)?)
    }
}

/// The processes that have a pid file in `run`, still run, and have nobody who looks after them.
pub fn left_over(run: &Path) -> Vec<Identity> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = entries.filter(|path| path.extension().is_some_and(|kind| kind == "pid"));
    let read = files.filter_map(|path| PidFile::read(&path));
    let alone = read.filter(|file| !file.keeper.is_some_and(|keeper| keeper.alive()));
    alone.map(|file| file.process).filter(Identity::alive).collect()
}

/// Stops every process that has a pid file in `run` and whose keeper is gone, and removes the
/// files. Only a process that is still the very same is touched. Returns how many were stopped.
pub async fn stop_leftovers(run: &Path, patience: Duration) -> io::Result<usize> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "pid") {
            continue;
        }
        let Some(file) = PidFile::read(&path) else {
            fs::remove_file(&path)?;
            continue;
        };
        if file.keeper.is_some_and(|keeper| keeper.alive()) {
            continue;
        }
        if file.process.alive() {
            // A stopped process could not obey.
            file.process.signal(if file.interrupt { Signal::INT } else { Signal::TERM });
            file.process.signal(Signal::CONT);
            found.push(file.process);
        }
        fs::remove_file(&path)?;
    }
    let deadline = Instant::now() + patience;
    for process in &found {
        while process.alive() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process.signal(Signal::KILL);
    }
    for process in &found {
        while process.alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(found.len())
}
