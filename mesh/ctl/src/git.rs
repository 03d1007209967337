//! What git says of a checkout.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// How many settings the environment gives git.
const COUNT: &str = "GIT_CONFIG_COUNT";

/// Runs git in the checkout at `root`, whoever owns it; what it printed.
///
/// # Errors
/// There is no git, or it fails: with what it said.
pub fn run(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(arguments);
    trust(&mut command, root);
    let output = command.output().context("git cannot be run")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("`git {}` says: {said}", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Git does nothing in what another user owns, such as a checkout that is mounted into a container. Whoever
/// runs this program in it trusts it already. Beside the settings that the environment gives, not instead.
fn trust(command: &mut Command, root: &Path) {
    // It compares with the path that it finds itself.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let given = env::var(COUNT).ok().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
    command
        .env(COUNT, (given + 1).to_string())
        .env(format!("GIT_CONFIG_KEY_{given}"), "safe.directory")
        .env(format!("GIT_CONFIG_VALUE_{given}"), root);
}
