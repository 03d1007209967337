//! Programs of another revision of the workspace, to run beside those of this one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use mesh_local::Home;
use tokio::process::Command;

use crate::paths;

/// Builds programs of another revision of this workspace, and returns the folder that they lie in; none if
/// the checkout does not have the revision, as a shallow clone may not. They are kept in the user's cache: the first build takes as long as that of the workspace, later ones nothing.
///
/// # Panics
/// If they do not build.
pub async fn programs_of(revision: &str, packages: &[&str]) -> Option<PathBuf> {
    let workspace = paths::workspace();
    let known = [OsStr::new("rev-parse"), "--verify".as_ref(), revision.as_ref()];
    let commit = git(&workspace, &known).await.ok()?;
    let built = built(&workspace, commit.trim(), packages).await;
    Some(built.unwrap_or_else(|error| panic!("{revision}: {error:?}")))
}

async fn built(workspace: &Path, commit: &str, packages: &[&str]) -> Result<PathBuf> {
    let home = Home::cache_of_user("releases")?.join(commit);
    fs::create_dir_all(&home).with_context(|| format!("cannot use {}", home.display()))?;
    let lock = File::create(home.join("lock"))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let folder = home.join("target").join("debug");
    if !packages.iter().all(|package| folder.join(package).is_file()) {
        let source = home.join("source");
        if source.exists() {
            // Of a build that was interrupted: nobody knows how far it came.
            fs::remove_dir_all(&source)?;
        }
        let clone = ["clone", "--quiet", "--no-checkout"].map(OsStr::new);
        git(&home, &[&clone[..], &[workspace.as_os_str(), source.as_os_str()]].concat()).await?;
        git(&source, &["checkout", "--quiet", "--detach", commit].map(OsStr::new)).await?;
        build(&source, &home.join("target"), packages).await?;
        fs::remove_dir_all(&source)?;
    }
    lock.unlock()?;
    Ok(folder)
}

async fn git(folder: &Path, arguments: &[&OsStr]) -> Result<String> {
    said(Command::new("git").current_dir(folder).args(arguments)).await
}

async fn build(source: &Path, target: &Path, packages: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(source).args(["build", "--quiet", "--locked", "--bins"]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    // Nobody will build them again.
    command.env("CARGO_TARGET_DIR", target).env("CARGO_INCREMENTAL", "0");
    said(&mut command).await.map(drop)
}

async fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} says\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
