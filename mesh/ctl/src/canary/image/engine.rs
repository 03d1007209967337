//! Docker or Podman, whichever is here.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// In this order.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// The first engine that knows an image.
///
/// # Errors
/// None is here, or none knows it.
pub async fn that_knows(reference: &str) -> Result<&'static str> {
    let mut here = Vec::new();
    for engine in ENGINES {
        if !says(engine, &["info"]).await.is_ok_and(|output| output.status.success()) {
            continue;
        }
        if says(engine, &["image", "inspect", "--", reference]).await?.status.success() {
            return Ok(engine);
        }
        here.push(engine);
    }
    ensure!(
        !here.is_empty(),
        "there is no such file, and neither {} answers `info`: start one, or name an archive by its \
         path, such as `docker save --output FILE` writes",
        ENGINES.join(" nor ")
    );
    let here = here.join(" and ");
    anyhow::bail!("there is no such file, and no such image in {here}: pull or build it first")
}

/// Has an engine write an image into a file that is not there yet.
///
/// # Errors
/// It does not.
pub async fn save(engine: &str, reference: &str, to: &Path) -> Result<()> {
    let to = to.display().to_string();
    let output = says(engine, &["save", "--output", &to, "--", reference]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{engine} save --output {to} {reference}`: {}", said.trim());
    Ok(())
}

async fn says(engine: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(engine);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.output().await.with_context(|| format!("cannot run {engine}"))
}
