//! The service binaries that platform tests run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::{paths, shared};

/// Builds a program of this workspace, once per process, and returns its path: for tests of another
/// package than its own.
///
/// # Panics
/// If it does not build.
pub async fn program(package: &str) -> PathBuf {
    match binaries(&[package.to_owned()]).await {
        Ok(folder) => folder.join(package),
        Err(error) => panic!("{package}: {error:?}"),
    }
}

/// Builds several programs of this workspace at once, and returns the folder that they lie in. Each of
/// them is then there for [`program`].
///
/// # Panics
/// If they do not build.
pub async fn programs(packages: &[&str]) -> PathBuf {
    let packages: Vec<String> = packages.iter().map(ToString::to_string).collect();
    binaries(&packages).await.unwrap_or_else(|error| panic!("{packages:?}: {error:?}"))
}

/// Builds the binaries of these packages with the profile of the running test, once per process,
/// and returns the directory they lie in.
pub(crate) async fn binaries(packages: &[String]) -> Result<PathBuf> {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::const_new(BTreeSet::new());
    let mut built = BUILT.lock().await;
    let folder = paths::profile_dir();
    let missing: Vec<&String> = packages.iter().filter(|name| !built.contains(*name)).collect();
    if missing.is_empty() {
        return Ok(folder);
    }
    let lock = shared::lock(&paths::home(), "build.lock").await?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(paths::workspace())
        .args(["build", "--quiet", "--bins"])
        .stdin(Stdio::null());
    for package in packages {
        command.args(["--package", package]);
    }
    if folder.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    let output = command.output().await.context("cannot run cargo")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("the services do not build:\n{said}");
    }
    lock.unlock()?;
    built.extend(packages.iter().cloned());
    Ok(folder)
}
